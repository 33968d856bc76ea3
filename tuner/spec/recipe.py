"""The `recipe` of a built-in task: how its network is made, fed and trained.

A field holds a value, or a search-space entry as in `space`: then it is a parameter of the study,
and each trial brings its value. What a field left open means is the task's own choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from tuner.robust import Rule
from tuner.spec.base import Document
from tuner.spec.recipe_values import (
    Above0,
    ActivationName,
    Below1,
    Count,
    CriticName,
    Few,
    From0,
    InitName,
    LossName,
    Milestones,
    NormName,
    OptimizerName,
    PresetName,
    ScheduleName,
    Searchable,
    Share,
    Teachers,
    TrialName,
    Width,
    fixed_type,
)


class StepFields(Document):
    """How weights change."""

    lr: Searchable[Above0] | None = None
    """Learning rate before schedule and cuts. 0.1 suits surprisingly many networks with SGD."""
    batch_size: Searchable[Count] | None = None
    """Rows a gradient is the mean of; the last batch of an epoch may be smaller. 128 is usual."""
    optimizer: Searchable[OptimizerName] | None = None
    """Update rule, with the formulas of torch.optim."""
    momentum: Searchable[Below1] | None = None
    """Decay of the gradient's average; beta1 of adam. 0 for sgd, rmsprop and adagrad, else 0.9."""
    beta2: Searchable[Below1] | None = None
    """Decay of the squared gradient's average. 0.999 for adam, 0.99 rmsprop, 0.9 adadelta."""
    eps: Searchable[Above0] | None = None
    """Keeps adaptive steps finite. torch's own for the rule if absent."""
    weight_decay: Searchable[From0] | None = None
    """Pull toward 0: in the gradient, after the clip; apart from it for adamw. 0.005 is common."""
    l1: Searchable[From0] | None = None
    """Penalty on the weights' absolute size: `l1 * sign(weight)` in the gradient."""
    l2: Searchable[From0] | None = None
    """Penalty on their square, `l2 * weight` in the gradient, for every rule, adamw included."""
    max_norm: Searchable[Above0] | None = None
    """Longest vector of a unit's incoming weights; longer ones are scaled down after a step."""
    clip_norm: Searchable[Above0] | None = None
    """Largest norm of the mean gradient; above it is scaled down. 15 or 5 for recurrent nets."""
    clip_value: Searchable[Above0] | None = None
    """Largest size of one number of the gradient, before `clip_norm`. 1.0 is usual."""
    average: Searchable[Below1] | None = None
    """Decay of a moving average of the weights, which is evaluated in their place. 0.99, say."""


class ScheduleFields(Document):
    """How the rate moves by itself; cuts that the server decides multiply it."""

    schedule: Searchable[ScheduleName] | None = None
    """Course of the rate over the training. `constant` if absent."""
    warmup: Searchable[From0] | None = None
    """Epochs over which the rate first rises from near 0."""
    gamma: Searchable[Annotated[float, Field(gt=0, le=1)]] | None = None
    """Factor an epoch (exponential, 0.9 if absent) or a milestone (0.1)."""
    milestones: Searchable[Milestones] | None = None
    """Shares of the training at which the rate falls. `0.5, 0.75` if absent."""
    cycle: Searchable[Count] | None = None
    """Epochs of the first cosine cycle (cyclic). A third of the training if absent."""
    cycle_growth: Searchable[Count] | None = None
    """Each cycle is this many times as long as the one before. 1 if absent."""
    lr_floor: Searchable[Share] | None = None
    """Where linear, cosine and cyclic end, as a share of the rate. 0 if absent."""


class NetworkFields(Document):
    """How the network is made."""

    width: Searchable[Width] | None = None
    """Units of a layer, or channels of the first convolution: a multiple of 8."""
    depth: Searchable[Annotated[int, Field(ge=1, le=64)]] | None = None
    """Hidden layers."""
    activation: Searchable[ActivationName] | None = None
    """What follows each layer. `soft_threshold` learns its threshold."""
    norm: Searchable[NormName] | None = None
    """Normalisation of each layer's sums, or of its weights (spectral)."""
    norm_groups: Searchable[Literal[1, 2, 4, 8]] | None = None
    """Groups of group normalisation. 8 if absent."""
    skip: Searchable[bool] | None = None
    """Whether layers that keep their shape add their input to their output."""
    dropout: Searchable[Below1] | None = None
    """Share of units set to 0 in training. 0.5 is cautious, 0.2 suits simple networks."""
    init: Searchable[InitName] | None = None
    """Rule of the first weights; `small` is 0.02, `by_activation` he, lecun or xavier."""
    init_scale: Searchable[Above0] | None = None
    """Factor on the standard deviation of the first weights. 1 or 0.1."""
    forget_bias: Searchable[Annotated[float, Field(ge=-10, le=10)]] | None = None
    """First bias of an LSTM's forget gate. 1 or more lets long memory survive the start."""


class DataFields(Document):
    """What becomes of the data. Statistics are those of the training rows."""

    standardise: Searchable[bool] | None = None
    """Whether each dimension gets mean 0 and variance 1."""
    log1p: Searchable[bool] | None = None
    """Whether dimensions that span magnitudes are replaced by `log1p` of them."""
    flip: Searchable[Share] | None = None
    """Augmentation: probability of a mirrored image."""
    crop: Searchable[Annotated[float, Field(ge=0, le=0.9)]] | None = None
    """Augmentation: largest share of an image's sides cut away; the rest is enlarged."""
    shift: Searchable[Annotated[float, Field(ge=0, le=100)]] | None = None
    """Augmentation: most pixels an image is moved by, each way."""
    rotate: Searchable[Annotated[float, Field(ge=0, le=180)]] | None = None
    """Augmentation: most degrees an image is turned, each way."""
    brightness: Searchable[From0] | None = None
    """Augmentation: most that is added to all pixels, each way, in the data's units."""
    contrast: Searchable[Share] | None = None
    """Augmentation: largest change of a channel's scale, each way: contrast, and colour."""
    noise: Searchable[From0] | None = None
    """Augmentation: standard deviation of noise added to each number."""
    mix_noise: Searchable[Share] | None = None
    """Augmentation of sequences: largest share of noise of their own loudness mixed in."""
    test_augment: Searchable[Few] | None = None
    """Augmented copies whose predictions are averaged with the plain one's in evaluation."""


class LossFields(Document):
    """What is minimised. Reported losses stay the task's own, so that trials compare."""

    loss: Searchable[LossName] | None = None
    """Loss of a row. cross_entropy or focal for classes; squared, absolute or huber for numbers."""
    focal_gamma: Searchable[From0] | None = None
    """How far the focal loss plays down rows that are right already. 2 if absent."""
    label_smoothing: Searchable[Below1] | None = None
    """Share of the label spread over all classes. 0.1 is usual."""
    flooding: Searchable[From0] | None = None
    """Level `b` the loss does not fall below: `abs(loss - b) + b`."""
    adversary: Searchable[From0] | None = None
    """Length of the step that makes inputs, or a text's embedding, harder, as FGM does."""
    labelled: Searchable[Annotated[float, Field(gt=0, le=1)]] | None = None
    """Share of the training rows whose label is used; the rest count as unlabelled."""
    pseudo_labels: Searchable[Share] | None = None
    """Confidence from which a prediction serves as label of an unlabelled row. 0.95, say."""
    pseudo_weight: Searchable[From0] | None = None
    """Weight of those rows' loss. 1 if absent."""


class ReuseFields(Document):
    """What is taken from other trainings."""

    teacher: Teachers | None = None
    """Trials whose mean prediction is a target: `STUDY/NUMBER`, `STUDY/best`, `STUDY/top5`."""
    teacher_weight: Searchable[Share] | None = None
    """Weight of the teachers' predictions against the labels. 0.5 if absent."""
    temperature: Searchable[Above0] | None = None
    """Softens predictions of classes before they are compared. 2 if absent."""
    start_from: TrialName | None = None
    """Trial whose last checkpoint gives the first weights, `STUDY/NUMBER` or `STUDY/best`."""
    fresh_layers: Searchable[Few] | None = None
    """Upper layers that begin anew instead. 0 if absent."""
    freeze: Searchable[Few] | None = None
    """Lower layers that stay as they are."""
    cache_frozen: bool | None = None
    """Whether the frozen layers' outputs are computed once and trained above."""
    pretrain: Searchable[Few] | None = None
    """Epochs in which the lower layers first learn to rebuild the input from their output."""
    pretrain_noise: Searchable[From0] | None = None
    """Noise added to the input that is rebuilt (a denoising autoencoder)."""


class OwnFields(Document):
    """What tasks with steps of their own take: an autoencoder, a critic, a policy."""

    latent: Searchable[Annotated[int, Field(ge=1, le=1024)]] | None = None
    """Numbers of a code, from which a digit is made (digits-vae, digits-critic). 8 if absent."""
    kl_weight: Searchable[From0] | None = None
    """Weight of the codes' divergence in what is minimised (digits-vae). 1 if absent."""
    critic_steps: Searchable[Annotated[int, Field(ge=1, le=100)]] | None = None
    """Steps of the critic for one of the generator (digits-critic). 5 if absent."""
    critic: Searchable[CriticName] | None = None
    """What the critic learns (digits-critic): a distance, or to tell made from real (`plain`)."""
    penalty: Searchable[From0] | None = None
    """Weight of the penalty on a Wasserstein critic's slope (digits-critic). 10 if absent."""
    soft_label: Searchable[Annotated[float, Field(gt=0.5, le=1)]] | None = None
    """What a plain critic is told of real digits, in place of 1 (digits-critic). 0.9, say."""
    flip_labels: Searchable[Annotated[float, Field(ge=0, lt=0.5)]] | None = None
    """Share of digits of which a plain critic is told the contrary (digits-critic). 0.05, say."""
    discount: Searchable[Share] | None = None
    """What a reward is worth a step earlier (cartpole). 0.99 if absent."""
    reward_scale: Searchable[Above0] | None = None
    """Factor on each reward, which sets the gradient's size (cartpole). 0.05 if absent."""
    randomise: Searchable[Annotated[float, Field(ge=0, le=0.5)]] | None = None
    """How far each episode's environment differs, as a share (cartpole). 0.3 if absent."""


class RobustFields(Document):
    """One trial over several seeds, or environments: how sure its value is to be."""

    seeds: Annotated[int, Field(ge=1, le=100)] | None = None
    """Networks that a trial trains, each on a seed of its own. 1 if absent."""
    aggregate: Rule | None = None
    """How values of several seeds, or cartpole's environments, become one. `mean` if absent."""
    aggregate_k: Annotated[float, Field(ge=0, le=100)] | None = None
    """The k of `mean_minus_std`: k standard deviations toward worse. 1 if absent."""


GROUPS: Mapping[str, type[Document]] = MappingProxyType(
    {
        "steps": StepFields,
        "schedule": ScheduleFields,
        "network": NetworkFields,
        "data": DataFields,
        "losses": LossFields,
        "reuse": ReuseFields,
        "several seeds": RobustFields,
        "tasks of their own": OwnFields,
    }
)


class RecipeSpec(
    OwnFields,
    RobustFields,
    ReuseFields,
    LossFields,
    DataFields,
    NetworkFields,
    ScheduleFields,
    StepFields,
):
    """How a built-in task's network is made, fed and trained; each field fixed or searched."""

    preset: PresetName | None = None
    """Choices in one word. `default`: He, ELU, batch norm, dropout, Nesterov, early stopping."""


def searchable_fields() -> frozenset[str]:
    """Return the names of the fields that a study may search."""
    return frozenset(
        name for name, field in RecipeSpec.model_fields.items() if _searchable(field.annotation)
    )


def _searchable(annotation: Any) -> bool:
    return bool(fixed_type(annotation)) or any(_searchable(one) for one in get_args(annotation))
