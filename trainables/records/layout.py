"""Where a sweep keeps what: every path in a sweep's folder, relative to it. One folder below it for each trial."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrialLayout:
    """The files of one trial, in the sweep's folder."""

    trial_id: str

    @property
    def folder(self) -> str:
        """Holds all that follows."""
        return f"{SweepLayout.trials}/{self.trial_id}"

    @property
    def proposal(self) -> str:
        """What was proposed, written before anything of the trial starts."""
        return f"{self.folder}/proposal.json"

    @property
    def attempts(self) -> str:
        """Each attempt at the trial, written by its driver."""
        return f"{self.folder}/attempts.json"

    @property
    def progress(self) -> str:
        """How far the running trial has come, written by its worker."""
        return f"{self.folder}/progress.json"

    @property
    def stop(self) -> str:
        """Is written to end the running trial early."""
        return f"{self.folder}/stop"

    @property
    def checkpoints(self) -> str:
        """A folder for each checkpoint, named by its step."""
        return f"{self.folder}/checkpoints"

    def checkpoint(self, step: int) -> str:
        """The folder of the checkpoint at that step."""
        return f"{self.checkpoints}/{step:08d}"

    @property
    def report(self) -> str:
        """The `WorkerReport`."""
        return f"{self.folder}/report.json"

    @property
    def error(self) -> str:
        """The whole traceback of what a trial failed with."""
        return f"{self.folder}/error.txt"

    @property
    def record(self) -> str:
        """The `TrialRecord`: the last thing that a trial writes."""
        return f"{self.folder}/record.json"

    @property
    def mirrored(self) -> str:
        """Marks that the record is in wandb."""
        return f"{self.folder}/mirrored-to-wandb"


@dataclass(frozen=True)
class SweepLayout:
    """The files of a sweep. `facts` makes a folder a sweep; `study` is there in a folder of this machine."""

    facts: str = "sweep.json"
    judge: str = "judge.json"  # frozen before the first trial, and the same for all
    domain: str = "data/domain.json"
    warm_start: str = "warm_start.json"  # what other sweeps' records gave, for a sweep that begins from it
    study: str = "study.db"
    driver_lock: str = "driver.lock"  # held by the process that drives the sweep, in a folder of a machine
    driver: str = "driver.txt"  # who drives the sweep, written again and again, in a bucket
    trials: str = "trials"
    worker_groups: str = "workers"
    judgements: str = "judgements"
    report: str = "report.html"
    table: str = "trials"  # the report's table, beside it, with .csv and .parquet

    def trial(self, trial_id: str) -> TrialLayout:
        """The files of that trial."""
        return TrialLayout(trial_id)

    def quotes(self, side: str) -> str:
        """The quotes to train on, `side` "train", or those held out, "validation"."""
        return f"data/{side}.jsonl"

    def baseline(self, key: str) -> str:
        """What a model was before tuning."""
        return f"baselines/{key}.json"

    def node_request(self, group: str) -> str:
        """The name under which a group of workers asks for its nodes."""
        return f"{self.worker_groups}/{group}/request"

    def judgement_file(self, name: str) -> str:
        """A person's judgements of one sitting."""
        return f"{self.judgements}/{name}.jsonl"

    def gate(self, rung: int) -> str:
        """What a ladder's gate before that rung found when it was last asked."""
        return f"ladder/gate-{rung}.json"

    def rung_prediction(self, rung: int) -> str:
        """A ladder's prediction of that rung, as it was written before the rung ran."""
        return f"ladder/rung-{rung}.json"


LAYOUT = SweepLayout()
