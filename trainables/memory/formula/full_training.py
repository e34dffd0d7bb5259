"""Peak memory of a training step as a formula: instant, and every term has a name.

For pre-LayerNorm decoders of OPT's shape without biases, trained on one device in steady state (optimizer states
exist), gradients set to None between steps, outputs dropped before the backward pass. Coefficients are bytes that
autograd keeps for each token of each layer, counted operator by operator; CUDA's kernels, block rounding left out.
The peak is the highest of these moments: the loss, either half of the last and of the first layer's backward pass, and
the gradient of the embedding. Tests hold it to within 1% of the trace.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.memory.formula.adapters import AdapterStep
from trainables.memory.formula.sizes import Moment, StepSizes
from trainables.model.models import ModelShape
from trainables.records.settings import TrialSettings


def step_memory(settings: TrialSettings, shape: ModelShape) -> Moment:
    """Components of one worker at the highest moment of an optimizer step, those of 0 bytes left out."""
    highest = max(step_moments(settings, shape), key=lambda moment: moment.allocated_bytes)
    return Moment(phase=highest.phase, components={name: size for name, size in highest.components.items() if size})


def step_moments(settings: TrialSettings, shape: ModelShape) -> list[Moment]:
    """Every moment that may be the highest; what the optimizer adds to gradients and states is too small to be."""
    if settings.lora_rank:
        return AdapterStep(settings, shape).moments()
    step = _Step(settings, shape)
    halves = step.layer_halves()
    moments = [step.loss(), *map(step.last_layer, halves), *map(step.first_layer, halves), step.embedding_backward()]
    return [*moments, step.fused_loss(), step.final_norm()] if settings.loss == "fused" else moments


@dataclass(frozen=True, kw_only=True)
class _Half:
    """What lives in one half of a layer's backward pass, in bytes; `done` are gradients that this layer has made."""

    activations: int
    attention: int
    temporaries: int
    done: int


class _Step(StepSizes):
    """A step that trains every weight; sizes in bytes."""

    def __init__(self, settings: TrialSettings, shape: ModelShape) -> None:
        super().__init__(settings, shape)
        self.other_weights = max(
            0, shape.parameters - self.head - shape.layers * self.layer_weights
        )  # positions, norms
        # Eager attention's causal mask lives through the backward pass only where checkpointing will need it again.
        has_mask = settings.attention == "eager" and settings.gradient_checkpointing
        self.mask = self.causal_mask if has_mask else 0

    def loss(self) -> Moment:
        """Transformers' loss holds three fp32 tensors [tokens, vocabulary] at its height, in the backward pass.

        The fused one brings the head's gradient, and autograd zeros of its size; under autocast its fp32 copy.
        """
        gradients, temporaries, loss = self.accumulated, 0, 0
        if self.settings.loss == "hf":
            loss = 12 * self.tokens * self.shape.vocabulary
        else:
            gradients += self.head * self.weight
            temporaries = 2 * self.head if self.is_amp else (self.head + self.Nd) * self.activation
        activations, attention = self.kept()
        components = self.always | {
            "activations": activations,
            "attention_matrices": attention + self.mask,
            "loss": loss,
            "gradients": gradients,
            "temporaries": temporaries,
            "autocast_copies": self.casts(),
        }
        return Moment(phase="backward", components=components, whole_gradients=gradients - self.accumulated)

    def fused_loss(self) -> Moment:
        """The fused loss at work, in the forward pass: a chunk of logits, both its gradients, and the hidden states."""
        activations, attention = self.kept()
        hidden = 4 * self.Nd if self.is_amp else 0  # elsewhere they are what was kept
        components = self.always | {
            "activations": activations,
            "attention_matrices": attention + self.mask,
            "loss": self.chunk_of_logits(),
            "gradients": self.accumulated + self.head * self.activation,
            "temporaries": self.Nd * self.activation + hidden,
            "autocast_copies": self.casts_in_forward() + (2 * self.head if self.is_amp else 0),
        }
        return Moment(phase="forward", components=components, whole_gradients=self.head * self.activation)

    def final_norm(self) -> Moment:
        """The end of the forward pass, while it still names its embeddings and eager attention's causal mask."""
        activations, attention = self.kept()
        components = self.always | {
            "activations": activations + self.Nd * (3 * self.weight - self.activation),
            "attention_matrices": attention + (self.causal_mask if self.settings.attention == "eager" else 0),
            "gradients": self.accumulated,
            "autocast_copies": self.casts_in_forward(),
        }
        return Moment(phase="forward", components=components)

    def last_layer(self, half: _Half) -> Moment:
        """The loss and the head's input are gone; the earlier layers still have everything they kept."""
        layers = self.shape.layers - 1
        if self.settings.gradient_checkpointing:
            activations, attention = layers * self.Nd * self.weight, 0
        else:
            layer_activations, layer_attention = self.layer()
            activations, attention = layers * layer_activations, layers * layer_attention
        whole = self.head * self.weight + half.done
        components = self.always | {
            "activations": activations + half.activations,
            "attention_matrices": attention + half.attention + self.mask,
            "gradients": max(whole, self.accumulated),
            "temporaries": half.temporaries,
            "autocast_copies": self.casts(),
        }
        return Moment(phase="backward", components=components, place="last_layer", whole_gradients=whole)

    def first_layer(self, half: _Half) -> Moment:
        """All other layers are done and have left their gradients."""
        missing = (self.layer_weights + self.other_weights) * self.weight - half.done
        components = self.always | {
            "activations": half.activations,
            "attention_matrices": half.attention + self.mask,
            "gradients": max(self.gradients - missing, self.accumulated),
            "temporaries": half.temporaries,
        }
        whole = self.head * self.weight + half.done
        return Moment(phase="backward", components=components, place="first_layer", whole_gradients=whole)

    def layer_halves(self) -> tuple[_Half, _Half]:
        """The feed-forward half, which comes first, and the attention half, in which eager scores are three at once."""
        settings, d, f = self.settings, self.shape.width, self.shape.ffn_width
        layer_activations, layer_attention = self.layer()
        mask = self.Nd if self.shape.has_dropout else 0
        casts_again = 2 if self.is_amp and settings.gradient_checkpointing else 0  # bytes of a weight cast once more
        feed_forward = _Half(
            activations=layer_activations - mask + casts_again * (4 * d * d + d * f),
            attention=layer_attention,
            temporaries=self.activation * self.Nf + (self.weight + self.activation) * self.Nd,
            done=d * f * self.weight,
        )
        if settings.attention == "sdpa":
            scores, projections, gradients = layer_attention, 3, 4
        elif settings.precision == "fp32" and self.shape.has_dropout:  # at the product's gradient
            scores, projections, gradients = 13 * self.scores, 3, 2
        else:  # at the softmax's gradient, which is fp32 in every precision; the values are done with
            scores, projections, gradients = 12 * self.scores, 2, 1
        attention = _Half(
            activations=self.Nd * (self.weight + (self.normed_copies() + projections) * self.activation)
            + casts_again * 3 * d * d,
            attention=scores,
            temporaries=self.Nd * (self.weight + self.activation * gradients),
            done=(d * d + 2 * d * f) * self.weight,
        )
        return feed_forward, attention

    def embedding_backward(self) -> Moment:
        """Every gradient is there; the embedding's joins the head's, in place where the fused loss made that one."""
        copies = 1 if self.settings.loss == "fused" else 2
        components = self.always | {
            "gradients": self.gradients,
            "temporaries": copies * self.head * self.weight + self.Nd * self.weight,
        }
        whole = (self.head + self.other_weights) * self.weight
        return Moment(phase="backward", components=components, place="embedding", whole_gradients=whole)

    def kept(self) -> tuple[int, int]:
        """What the forward pass leaves for the backward pass: (activations, attention matrices)."""
        edges = self.Nd * (self.weight + self.activation) + 24 * self.tokens
        if self.settings.gradient_checkpointing:
            return edges + self.shape.layers * self.Nd * self.weight, 0
        layer_activations, layer_attention = self.layer()
        return edges + self.shape.layers * layer_activations, self.shape.layers * layer_attention

    def layer(self) -> tuple[int, int]:
        """What one layer keeps: (activations, attention matrices)."""
        activations = (
            2 * self.weight * self.Nd  # inputs of the two layer norms
            + (self.normed_copies() + 1) * self.activation * self.Nd  # their outputs
            + 4 * self.activation * self.Nd  # query, key, value, attention output
            + 2 * self.activation * self.Nf  # before and after the activation function
            + (2 * self.Nd if self.shape.has_dropout else 0)  # one-byte dropout masks
            + 16 * self.tokens  # layer norm statistics
        )
        if self.settings.attention == "sdpa":
            return activations, self.log_sums
        kept_size = 4 + (1 + self.activation if self.shape.has_dropout else 0)
        return activations, kept_size * self.scores

    def normed_copies(self) -> int:
        """Copies of the first layer norm's output that are kept: autocast casts it for each projection anew."""
        return 3 if self.is_amp else 1

    def casts(self) -> int:
        """Half-precision copies of the weights that the backward pass needs; the fused loss keeps none of the head."""
        if not self.is_amp:
            return 0
        head = 2 * self.head if self.settings.loss == "hf" else 0
        return head if self.settings.gradient_checkpointing else head + 2 * self.shape.layers * self.layer_weights

    def casts_in_forward(self) -> int:
        """Those that are there while autocast remembers them, to the end of the forward pass, checkpointing or not."""
        again = self.settings.gradient_checkpointing and self.is_amp
        return self.casts() + (2 * self.shape.layers * self.layer_weights if again else 0)
