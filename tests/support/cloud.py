"""A stand-in for AWS: moto answers for EC2, IAM, CloudFormation and S3, and its running instances are real hosts.

What it cannot show: GPUs, images, real start times, and whether AWS's own permissions suffice.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from string import Template
from typing import Any

from moto.server import ThreadedMotoServer

from tests.support.network_hosts import ROOT, Network

REGION = "us-west-2"
BUCKET = "galactica-sweeps-test"
PORT = 5005


class Cloud:
    """An account as cluster.account.yaml makes it, on `network`; in the `with`, instances come and go as hosts."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._server = ThreadedMotoServer(ip_address=network.gateway, port=PORT, verbose=False)
        self._ended = threading.Event()
        self._hosts = threading.Thread(target=self._keep_hosts, daemon=True)
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://{network.gateway}:{PORT}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.host_environment = dict(self.environment)

    def __enter__(self) -> Cloud:
        os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # read when IAM is first asked
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request else
        self._server.start()
        self._make_account()
        self._hosts.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._hosts.join(60)
        self._server.stop()

    def client(self, service: str) -> Any:
        """A client of boto3's. It names its keys, so that none of a person's can be used by mistake."""
        import boto3

        return boto3.client(
            service,  # pyright: ignore[reportArgumentType]  # one function for four services
            region_name=REGION,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def instances(self, *states: str) -> dict[str, dict[str, Any]]:
        """Instances in one of the states (any, where none is given), by id."""
        told = self.client("ec2").describe_instances()["Reservations"]
        found = {each["InstanceId"]: each for reservation in told for each in reservation["Instances"]}
        return {name: each for name, each in found.items() if not states or each["State"]["Name"] in states}

    def overlay(self, path: Path) -> Path:
        """Write overlay.yaml with this cloud's subnet, image and key to `path`."""
        text = (Path(__file__).parent / "overlay.yaml").read_text()
        names = {"subnet": self.subnet, "image": self.image, "key": str(self._network.key)}
        path.write_text(Template(text).substitute(names))
        return path

    def _make_account(self) -> None:
        ec2 = self.client("ec2")
        vpc = ec2.create_vpc(CidrBlock=self._network.subnet)["Vpc"]["VpcId"]
        zone = f"{REGION}a"
        made = ec2.create_subnet(VpcId=vpc, CidrBlock=self._network.subnet, AvailabilityZone=zone)
        self.subnet: str = made["Subnet"]["SubnetId"]
        self.image: str = ec2.describe_images(Owners=["099720109477"])["Images"][0]["ImageId"]
        public = self._network.key.with_suffix(".pub").read_bytes()
        ec2.import_key_pair(KeyName="tests", PublicKeyMaterial=public)
        self.client("cloudformation").create_stack(
            StackName="galactica-sweeps",
            TemplateBody=(ROOT / "cluster.account.yaml").read_text(),
            Parameters=[{"ParameterKey": "Bucket", "ParameterValue": BUCKET}],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )

    def _keep_hosts(self) -> None:
        """As long as the cloud stands: a host for every running instance, and none for any other."""
        while not self._ended.wait(0.3):
            wanted = {each["PrivateIpAddress"] for each in self.instances("running").values()}
            for address in set(self._network.addresses) - wanted:
                self._network.stop(address)
            for address in wanted - set(self._network.addresses):
                self._network.start(address, self.host_environment)
