"""The closed form of a step that trains low-rank adapters on frozen weights.

What autograd keeps is another thing than in full training, operator by operator: a frozen projection keeps no input,
so eager attention keeps no output and the head nothing; an adapter keeps its dropped-out input, the mask of it, and
the narrow product. Before the first layer nothing needs a gradient, so that layer keeps neither what its first norm
read nor those masks, nor the queries that eager attention would need for the keys' gradient.
"""

from __future__ import annotations

from trainables.memory.formula.sizes import Moment, StepSizes


class AdapterStep(StepSizes):
    """A step that trains adapters only. Their gradients come after the peak, unless the micro-batch is tiny."""

    def moments(self) -> list[Moment]:
        """Every moment that may be the highest: the last layer's, the loss's and the optimizer's.

        The fused loss makes its gradients in the forward pass; checkpointing repeats that pass in the backward one.
        """
        fused, repeated = self.settings.loss == "fused", self.settings.gradient_checkpointing
        forward = "backward" if repeated else "forward"
        moments = [
            Moment(phase="forward" if fused else "backward", components=self.loss()),
            Moment(phase="backward", components=self.feed_forward_backward(), place="last_layer"),
            Moment(phase=forward, components=self.feed_forward_forward(), place="last_layer"),
            Moment(phase="backward", components=self.attention_backward(), place="last_layer"),
            Moment(phase="optimizer", components=self.always | {"gradients": self.gradients}, place="optimizer"),
        ]
        if self.is_eager:
            moments.append(Moment(phase=forward, components=self.scores_forward(), place="last_layer"))
        return moments

    def loss(self) -> dict[str, int]:
        """Transformers' loss holds three fp32 tensors [tokens, vocabulary] at its height."""
        final_norm = self.residual + self.statistics
        activations, attention = self.kept(self.shape.layers)
        copies = self.casts(self.shape.layers) + (2 * self.head if self.is_amp else 0)
        loss = 12 * self.tokens * self.shape.vocabulary
        temporaries = 0
        if self.settings.loss == "fused":
            # the hidden states, their cast, and their gradient
            temporaries = self.residual + (2 if self.is_amp else 1) * self.activation * self.Nd
            loss = self.chunk_of_logits()
        return self._moment(activations + final_norm, attention, temporaries, copies, loss)

    def feed_forward_backward(self) -> dict[str, int]:
        """The activation function's gradient: two wide tensors beside what it reads; the layer's last mask is gone.

        An adapter of the product after it has gone by then, and needed more: its mask, and two wide tensors in fp32.
        """
        activations, attention = self.kept(self.shape.layers - 1)
        layer_activations, layer_attention = self.layer()
        width, ffn_width = self.shape.width, self.shape.ffn_width
        return self._moment(
            activations
            + layer_activations
            - self.mask
            - self.adapters("down")
            + self.casts_again(4 * width * width + width * ffn_width),
            attention + layer_attention,
            self.residual + (9 if "down" in self.adapted else 2 * self.activation) * self.Nf,
            self.casts(self.shape.layers, unused=width * ffn_width),
        )

    def feed_forward_forward(self) -> dict[str, int]:
        """The last product of the last layer, in the first pass or, with checkpointing, repeated."""
        activations, attention = self.kept(self.shape.layers - 1)
        layer_activations, layer_attention = self.layer()
        width, ffn_width = self.shape.width, self.shape.ffn_width
        return self._moment(
            activations + layer_activations - self.mask + self.casts_again(4 * width * width + 2 * width * ffn_width),
            attention + layer_attention + self.named_mask(),
            self.activation * (self.Nf + self.Nd) + self.down_adapter_forward() + self.around_forward(),
            self.casts(self.shape.layers),
        )

    def attention_backward(self) -> dict[str, int]:
        """Gradients of query, key and value, or in eager attention that of the softmax, fp32 in every precision."""
        activations, attention = self.kept(self.shape.layers - 1)
        scores, projections, gradients = self.log_sums, 4, 4
        if self.is_eager:
            scores, projections, gradients = 12 * self.scores, 2, 1
            if self.settings.precision == "fp32" and self.shape.has_dropout:  # higher at the product's gradient
                scores, projections, gradients = 13 * self.scores, 3, 2
        return self._moment(
            activations
            + self.residual
            + self.statistics
            + self.adapters("query", "key", "value")
            + projections * self.activation * self.Nd
            + self.casts_again(3 * self.shape.width**2),
            attention + scores,
            self.residual + gradients * self.activation * self.Nd,
            self.casts(self.shape.layers - 1),
        )

    def scores_forward(self) -> dict[str, int]:
        """The softmax of the last layer, in the first pass or repeated.

        Scores, their fp32 softmax and its copy, beside queries, keys, values, two of them laid out anew, and what the
        projections read.
        """
        activations, attention = self.kept(self.shape.layers - 1)
        return self._moment(
            activations
            + 2 * self.residual
            + self.statistics
            + self.adapters("query", "key", "value")
            + 5 * self.activation * self.Nd
            + self.casts_again(3 * self.shape.width**2),
            attention + (9 if self.settings.precision == "fp32" else 10) * self.scores + self.named_mask(),
            self.around_forward(),
            self.casts(self.shape.layers - 1),
        )

    @property
    def is_eager(self) -> bool:
        """Whether attention matrices are made at all."""
        return self.settings.attention == "eager"

    @property
    def residual(self) -> int:
        """The residual stream at one place."""
        return self.weight * self.Nd

    @property
    def mask(self) -> int:
        """A dropout mask of the model's own, a byte an element."""
        return self.Nd if self.shape.has_dropout else 0

    @property
    def statistics(self) -> int:
        """Mean and deviation of one layer norm."""
        return 2 * self.weight * self.tokens

    def around_forward(self) -> int:
        """What surrounds a forward pass: embeddings of tokens and positions that the model's forward still names.

        Around a repeated one: the gradient that waits for it, and under autocast its cast.
        """
        if not self.settings.gradient_checkpointing:
            return 2 * self.residual
        return self.residual + (self.activation * self.Nd if self.is_amp else 0)

    def down_adapter_forward(self) -> int:
        """What the adapter of the layer's last product makes and drops: its input in fp32, then what it puts out.

        Under autocast the dropped-out input is fp32 before it is cast; else product and scaled product come later.
        """
        if "down" not in self.adapted:
            return 0
        fp32_input = 0 if self.settings.precision == "fp32" else 4 * self.Nf
        return fp32_input + (4 * self.Nf if self.is_amp else 8 * self.Nd)

    def named_mask(self) -> int:
        """Eager attention's causal mask in the first forward pass, which names it; checkpoints have it in `kept`."""
        return self.causal_mask if self.is_eager and not self.settings.gradient_checkpointing else 0

    @property
    def adapter_size(self) -> int:
        """Bytes of what adapters compute in: fp32 even on bf16 weights, half precision under autocast."""
        return 2 if self.is_amp else 4

    def adapters(self, *names: str) -> int:
        """What the adapters of one layer keep, or those of these names: input dropped out, its mask, narrow product."""
        size, kept = self.adapter_size, [name for name in self.adapted if not names or name in names]
        inputs = sum(self.Nf if name == "down" else self.Nd for name in kept)
        return (1 + size) * inputs + len(kept) * size * self.tokens * self.settings.lora_rank

    def layer(self) -> tuple[int, int]:
        """What one layer keeps: (activations, attention matrices)."""
        activations = (
            2 * (self.residual + self.statistics)  # what the two layer norms read
            + self.adapters()
            + (3 if self.is_eager else 4) * self.activation * self.Nd  # query, key, value, and fused attention's output
            + self.activation * self.Nf  # before the activation function
            + 2 * self.mask
        )
        if not self.is_eager:
            return activations, self.log_sums
        return activations, (4 + (1 + self.activation if self.shape.has_dropout else 0)) * self.scores

    def kept(self, layers: int) -> tuple[int, int]:
        """What the first `layers` leave for the backward pass: (activations, attention matrices)."""
        batch = 24 * self.tokens  # token ids, labels and positions, 8 bytes each
        if self.settings.gradient_checkpointing:
            # Each layer's input, the embeddings that the first one was summed from, and eager attention's mask.
            return batch + (layers + 1) * self.residual, self.causal_mask if self.is_eager else 0
        if layers == 0:
            return batch, 0
        activations, attention = self.layer()
        queries = self.activation * self.Nd if self.is_eager and "key" not in self.adapted else 0
        of_first_norm = [name for name in self.adapted if name in ("query", "key", "value")]
        not_in_first = self.residual + self.statistics + len(of_first_norm) * self.Nd + queries
        return batch + layers * activations - not_in_first, layers * attention

    def casts(self, layers: int, unused: int = 0) -> int:
        """Half-precision copies of the layers' weights but for `unused`; the first keeps none of its projections."""
        if self.settings.gradient_checkpointing or layers == 0:
            return 0
        return self.cast(layers * (self.layer_weights + self.adapter_weights) - 3 * self.shape.width**2 - unused)

    def casts_again(self, weights: int) -> int:
        """Copies of weights that checkpointing casts once more when it repeats a layer."""
        return self.cast(weights) if self.settings.gradient_checkpointing else 0

    def cast(self, weights: int) -> int:
        """Bytes of weights cast to half precision; none without autocast."""
        return 2 * weights if self.is_amp else 0

    def _moment(self, activations: int, attention: int, temporaries: int, copies: int, loss: int = 0) -> dict[str, int]:
        return self.always | {
            "activations": activations,
            "attention_matrices": attention,
            "loss": loss,
            "gradients": self.accumulated,
            "temporaries": temporaries,
            "autocast_copies": copies,
        }
