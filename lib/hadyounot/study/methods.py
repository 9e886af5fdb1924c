"""Every way to explain, as data: the paper's methods, ours, the controls and the ablations are rows of one kind.

A new method is a new row. What a row says is carried out by ``stages.learn``, ``stages.explain`` and ``stages.verify``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace

from ..method.choices import ENCODERS, PRODUCT_SETS, PRODUCTS
from .config import AblationsConfig


@dataclass(frozen=True)
class Sample:
    """Which deletions a surrogate learns from; by default all those of step 1.

    Attributes:
        size: items in each deletion, or a share of the history below 1; None for the explanations' size.
        users: of the training users the first so many; None for all.
        deletions: of each user's deletions the first so many; None for all.
    """

    size: float | None = None
    users: int | None = None
    deletions: int | None = None


@dataclass(frozen=True)
class Learner:
    """Step 2: what a surrogate is and what it learns. Equal learners are one fit, whoever asks for them.

    Attributes:
        surrogate: "lasso", "logistic", "mlp", or one of ``ENCODERS``.
        effect: the name of a function of ``effects``.
        products: of the representation, of ``PRODUCTS``; None for those that predict held-out training users best.
        mask: deleted items are told apart by a multi-hot mask instead of their embeddings.
        least_penalty: of the LASSO: the smallest that cross-validation may choose, whatever it chooses.
        ungrouped: of the LASSO: deletions of one user are in different folds of its cross-validation.
        biases: the recommender's biases of user and item are appended to their embeddings.
        readmitted: effects are those had the deleted items become candidates again, and so is what is verified.
        sample: what it learns from.
    """

    surrogate: str = "lasso"
    effect: str = "reg"
    products: tuple[str, ...] | None = ()
    mask: bool = False
    least_penalty: bool = False
    ungrouped: bool = False
    biases: bool = False
    readmitted: bool = False
    sample: Sample = Sample()

    @property
    def key(self) -> str:
        """What a run calls the fit: surrogate, effect, and whatever is not as usual."""
        said = [self.surrogate, self.effect, *(("chosen",) if self.products is None else self.products)]
        said += [field.name for field in fields(self) if getattr(self, field.name) is True]
        for field in fields(self.sample):
            if (value := getattr(self.sample, field.name)) is not None:
                said.append(f"{field.name}={value}")
        return "-".join(said)


@dataclass(frozen=True)
class Method:
    """One way to explain.

    Attributes:
        name: what files call it.
        label: what people call it.
        color: of its marks; families of methods differ in lightness too, so grey tells them apart.
        headline: whether it is shown where few are: on a report's first page, over many worlds, in README.
        role: "control" for the floor, the noise and the ceiling, which explain nothing; "ours" for what the paper has
            not; else the paper's, or a variant.
        baseline: a key of ``stages.explain.BASELINES``, for what learns nothing.
        option: what the baseline is told: a metric, or which parameters.
        learner: the surrogate, for what learns.
        search: of eq. (9): "best", exact where the surrogate is additive and sampled elsewhere; "sampled" or "beam".
        budget: candidates of a sampled search, or the width of the beam; None for the study's.
        measure: what Figure 7 calls what the method says of an item set; "" where it says nothing.
        panel: the axis of that measure, where Figure 7 shows it for one user.
        family: of a variant: what is varied.
        control: of a variant: the name of what differs from it in this one choice alone; None if nothing does.
    """

    name: str
    label: str = ""
    color: str = ""
    role: str = ""
    headline: bool = False
    baseline: str | None = None
    option: str = ""
    learner: Learner | None = None
    search: str = "best"
    budget: int | None = None
    measure: str = ""
    panel: str = ""
    family: str = ""
    control: str | None = None

    @property
    def explains(self) -> bool:
        """Whether it names items; reseed and oracle do not."""
        return self.baseline is not None or self.learner is not None

    @property
    def proves(self) -> bool:
        """Whether it retrains before it names anything."""
        return self.baseline == "verified"

    @property
    def counterfactual(self) -> bool:
        """Whether it says that the target would leave, as people are told; the paper's baselines say what is alike."""
        return self.learner is not None or self.proves

    @property
    def rank_after(self) -> str:
        """The column of a verdict that says where the target is then, on the method's reading."""
        return "rank_after_readmitted" if self.learner and self.learner.readmitted else "rank_after"

    @property
    def in_stars(self) -> bool:
        """Whether its measure is in the ratings' units: a change of scores, or Δŷ_reg."""
        return self.baseline == "influence" or (self.learner is not None and self.learner.effect == "reg")

    @property
    def measure_label(self) -> str:
        """What people call what it says of an item set."""
        return self.label if self.measure == self.name else self.measure.replace("_", " ").capitalize()


EFFECT = r"$\Delta\hat{y}$ (reg), stars"  # eq. (3), on an axis: a subscript would be too small to read

_GREY, _DARK, _LIGHT = "#9a9a9a", "#0b3055", "#3a83b8"  # safe for colour-blind readers, as the other hues are

METHODS = (
    Method("random", "Random", _GREY, "control", baseline="random"),
    Method("reseed", "Reseed (nothing deleted)", _GREY, "control"),
    Method(
        *("knn", "KNN", "#d9a406"),
        headline=True,
        baseline="nearest",
        option="euclidean",
        measure="embedding_distance",
        panel="embedding\ndistance (mean)",
    ),
    Method(
        *("knn_cosine", "KNN (cosine)", "#97700a"),
        headline=True,
        baseline="nearest",
        option="cosine",
        measure="cosine_distance",
    ),
    Method(
        *("influence", "Influence function", "#a8440a"),
        headline=True,
        baseline="influence",
        option="influence",
        measure="influence",
        panel="influence\n(sum), stars",
    ),
    Method(
        *("influence_block", "Influence function (block)", "#e08a4f"),
        headline=True,
        baseline="influence",
        option="influence_block",
        measure="influence_block",
    ),
    Method("unlearned", "Residual product (nothing learnt)", "#56a48d", headline=True, baseline="unlearned"),
    Method(
        *("linear_reg", "Linear surrogate (reg)", _DARK),
        headline=True,
        learner=Learner(),
        measure="linear_reg",
        panel=f"linear:\n{EFFECT}",
    ),
    Method(
        *("mlp_reg", "MLP surrogate (reg)", _LIGHT),
        headline=True,
        learner=Learner("mlp"),
        measure="mlp_reg",
        panel=f"MLP:\n{EFFECT}",
    ),
    Method("linear_clf", "Linear surrogate (clf)", _DARK, learner=Learner("logistic", "clf"), measure="linear_clf"),
    Method("mlp_clf", "MLP surrogate (clf)", _LIGHT, learner=Learner("mlp", "clf"), measure="mlp_clf"),
    Method(
        *("linear_reg_aware", "Linear, target-aware (ours)", "#0d7a5f", "ours"),
        headline=True,
        learner=Learner(products=None),
        measure="linear_reg_aware",
        panel=f"target-aware:\n{EFFECT}",
    ),
    Method("verified", "Proven by retraining (ours)", "#5b2a86", "ours", headline=True, baseline="verified"),
    Method("oracle", "Oracle (really retrained)", _GREY, "control"),
)

METHOD = {method.name: method for method in METHODS}
SURROGATES = tuple(method for method in METHODS if method.learner)
HEADLINES = tuple(method.name for method in METHODS if method.headline)
MEASURES = tuple(method for method in METHODS if method.measure)

BASE = METHOD["linear_reg"]  # what the ablations are variants of
_PLAIN = {method.learner.surrogate: method for method in (BASE, METHOD["linear_clf"], METHOD["mlp_reg"])}


def in_order(names: Iterable[str]) -> list[str]:
    """Names of methods in the order of ``METHODS``."""
    names = set(names)
    return [method.name for method in METHODS if method.name in names]


def _effect(config: AblationsConfig, size: int) -> list[Method]:
    others = [Method(name, learner=Learner(effect=name), control=BASE.name) for name in ("rank", "cross", "score")]
    return [replace(METHOD["linear_clf"], name="clf", control=BASE.name), *others]


def _deletion_size(config: AblationsConfig, size: int) -> list[Method]:
    share = f"{config.deletion_share:.0%}".replace("%", "-percent")
    sizes = {str(each): each for each in config.deletion_sizes} | {share: config.deletion_share}
    own = str(size) if size in config.deletion_sizes else None
    return [
        Method(
            name,
            f"{each}" if each >= 1 else f"{100 * each:g} %\nof history",
            # step 1 has recorded deletions of the explanations' size
            learner=Learner(sample=Sample(None if each == size else each, deletions=config.deletions_per_user)),
            control=None if name == own else own,
        )
        for name, each in sizes.items()
    ]


def _representation(config: AblationsConfig, size: int) -> list[Method]:
    budget, mean = config.set_networks.max_candidates, ENCODERS[0]
    return [
        Method("mask", learner=Learner(mask=True), control=BASE.name),
        *(
            Method(name, learner=Learner(name), budget=budget, control=BASE.name if name == mean else mean)
            for name in ENCODERS
        ),
    ]


def _penalty(config: AblationsConfig, size: int) -> list[Method]:
    return [Method("least", learner=Learner(least_penalty=True), control=BASE.name)]


def _products(config: AblationsConfig, size: int) -> list[Method]:
    alone_and_together = [some for some in PRODUCT_SETS if len(some) in (1, len(PRODUCTS))]
    return [
        Method(
            "-".join([surrogate, *products]),
            learner=replace(plain.learner, products=products),
            control=plain.name,
        )
        for surrogate, plain in _PLAIN.items()
        for products in (PRODUCT_SETS if plain is BASE else alone_and_together)
    ]


def _reading(config: AblationsConfig, size: int) -> list[Method]:
    return [
        *(
            replace(
                method,
                name=f"readmitted-{method.name}",
                learner=replace(method.learner, readmitted=True),
                control=method.name,
            )
            for method in SURROGATES
        ),
        Method("ungrouped", learner=Learner(ungrouped=True), control=BASE.name),
        Method("biases", learner=Learner(biases=True), control=BASE.name),
        Method("influence-as-printed", baseline="influence", option="influence_as_printed", control="influence"),
    ]


def _search(config: AblationsConfig, size: int) -> list[Method]:
    searches = {f"sampled-{budget}": ("sampled", budget) for budget in config.candidates}
    searches |= {"greedy": ("beam", 1), f"beam-{config.beam_width}": ("beam", config.beam_width)}
    return [
        replace(plain, name=f"{plain.learner.surrogate}-{name}", search=search, budget=budget, control=plain.name)
        for plain in (BASE, METHOD["mlp_reg"])
        for name, (search, budget) in searches.items()
    ]


def _sample_size(config: AblationsConfig, size: int) -> list[Method]:
    samples = {f"users-{users}": Sample(users=users) for users in config.sample_users}
    samples |= {f"deletions-{deletions}": Sample(deletions=deletions) for deletions in config.sample_deletions}
    return [Method(name, learner=Learner(sample=sample), control=BASE.name) for name, sample in samples.items()]


FAMILIES: dict[str, tuple[Callable[[AblationsConfig, int], list[Method]], tuple[str, ...]]] = {
    "effect": (_effect, ()),
    "deletion_size": (_deletion_size, ("deletion_sizes", "deletion_share", "deletions_per_user")),
    "representation": (_representation, ("set_networks",)),
    "penalty": (_penalty, ()),
    "products": (_products, ()),
    "search": (_search, ("candidates", "beam_width")),
    "sample_size": (_sample_size, ("sample_users", "sample_deletions")),
    "reading": (_reading, ()),
}
"""By what is varied: its variants, and which settings of the ablations they hang on."""


def family(name: str, config: AblationsConfig, explanation_size: int) -> tuple[Method, ...]:
    """The variants of one family: each differs from ``BASE`` in one choice."""
    variants, _ = FAMILIES[name]
    return tuple(replace(method, family=name) for method in variants(config, explanation_size))
