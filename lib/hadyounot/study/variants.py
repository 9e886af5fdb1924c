"""Variants of the method, each of which differs from linear_reg in one choice (section 5.3)."""

from dataclasses import dataclass
from itertools import combinations

from .config import AblationsConfig

PLAIN = {"lasso": "linear_reg", "logistic": "linear_clf", "mlp": "mlp_reg"}  # methods of notebook 50, by surrogate
PRODUCTS = ("user", "target", "residual")
PRODUCT_SETS = {"-".join(some): some for count in range(1, 4) for some in combinations(PRODUCTS, count)}
ENCODERS = ("mean", "deepsets", "attention", "transformer")


@dataclass(frozen=True)
class Variant:
    """One way to explain; by default that of linear_reg.

    Attributes:
        surrogate: "lasso", "logistic", "mlp", or one of ``ENCODERS``.
        effect: the name of a function of ``effects``.
        products: of the representation; see ``Representation``.
        mask: deleted items are told apart by a multi-hot mask instead of their embeddings.
        size: items in each simulated deletion, or a share of the history below 1; None for those recorded in step 1.
        least_penalty: of the LASSO: the smallest that cross-validation may choose, whatever it chooses.
        users: of the training users the first so many; None for all.
        deletions: of each user's deletions the first so many; None for all.
        searched: None for ``search.explain``; "sampled" or "beam".
        budget: candidates of a sampled search, or the width of the beam.
    """

    surrogate: str = "lasso"
    effect: str = "reg"
    products: tuple[str, ...] = ()
    mask: bool = False
    size: float | None = None
    least_penalty: bool = False
    users: int | None = None
    deletions: int | None = None
    searched: str | None = None
    budget: int | None = None


def places(config: AblationsConfig) -> list[tuple[str, str]]:
    """(family, variant) of every variant."""
    return [(family, variant) for family, named in variants(config).items() for variant in named]


def variants(config: AblationsConfig) -> dict[str, dict[str, Variant]]:
    """Variants by name, by family."""
    sizes = {str(size): Variant(size=size, deletions=config.deletions_per_user) for size in config.deletion_sizes}
    share = f"{config.deletion_share:.0%}".replace("%", "-percent")
    alone_and_together = {name: some for name, some in PRODUCT_SETS.items() if len(some) in (1, len(PRODUCTS))}
    searches = {f"sampled-{budget}": ("sampled", budget) for budget in config.candidates}
    searches |= {"greedy": ("beam", 1), f"beam-{config.beam_width}": ("beam", config.beam_width)}
    families = {
        "effect": {
            "clf": Variant("logistic", "clf"),
            **{name: Variant(effect=name) for name in ("rank", "cross", "score")},
        },
        "deletion_size": sizes | {share: Variant(size=config.deletion_share, deletions=config.deletions_per_user)},
        "representation": {"mask": Variant(mask=True)} | {encoder: Variant(encoder) for encoder in ENCODERS},
        "penalty": {"least": Variant(least_penalty=True)},
        "products": {
            f"{surrogate}-{name}": Variant(surrogate, "clf" if surrogate == "logistic" else "reg", chosen)
            for surrogate in ("lasso", "logistic", "mlp")
            for name, chosen in (PRODUCT_SETS if surrogate == "lasso" else alone_and_together).items()
        },
        "search": {
            f"{surrogate}-{name}": Variant(surrogate, searched=searched, budget=budget)
            for surrogate in ("lasso", "mlp")
            for name, (searched, budget) in searches.items()
        },
        "sample_size": {
            **{f"users-{users}": Variant(users=users) for users in config.sample_users},
            **{f"deletions-{deletions}": Variant(deletions=deletions) for deletions in config.sample_deletions},
        },
    }
    return {family: families[family] for family in config.families}
