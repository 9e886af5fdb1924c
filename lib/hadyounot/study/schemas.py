"""The columns of every table that a run writes."""

from typing import Any

import pyarrow as pa

from . import paths
from .store import Column, Schema

_INDEX, _COUNT, _TEXT = pa.int32(), pa.int64(), pa.string()
_STARS, _NUMBER = pa.float32(), pa.float64()

_USER = Column(_INDEX, "index of the user", low=0)
_TARGET = Column(_INDEX, "index of the recommended item that is explained", low=0)
_METHOD = Column(_TEXT, "what made the explanation: the name of a method")
_DELETED = Column(pa.list_(_INDEX), "indices of the items of the history that are deleted, D_u", low=0)
_DATASET = Column(_TEXT, "name of the dataset in config/datasets.yaml")
_MODEL = Column(_TEXT, "name of the recommender in the study's config")
_TOP_K = Column(_COUNT, "K: length of the recommendation list that the target should leave", low=1)


def _count(meaning: str, **options: Any) -> Column:
    return Column(_COUNT, meaning, low=0, **options)


def _share(meaning: str, **options: Any) -> Column:
    return Column(_NUMBER, meaning, low=0, high=1, **options)


def _signed(meaning: str) -> Column:
    return Column(_NUMBER, meaning, low=-1, high=1, nullable=True)


RATINGS = Schema(
    "One rating; the rows are in the order of the source.",
    {
        "user": _USER,
        "item": Column(_INDEX, "index of the item", low=0),
        "value": Column(_STARS, "the rating, in stars"),
        "train": Column(pa.bool_(), "whether recommenders are trained on it; the rest tests them"),
    },
)

USERS = Schema("One user; the row number is the index.", {"id": Column(_TEXT, "the user's id in the source")})

ITEMS = Schema(
    "One item; the row number is the index.",
    {
        "id": Column(_TEXT, "the item's id in the source"),
        "title": Column(_TEXT, "what to call it; the id where nothing is known"),
    },
)

_TARGETS = {
    "target": Column(pa.list_(_INDEX), "indices of the user's top N items before, best first", low=0),
    "rank_before": Column(
        pa.list_(_INDEX), "rank of each target under the model trained on everything; 1 is best", low=1
    ),
    "rank_after": Column(pa.list_(_INDEX), "rank under the counterfactual model; deleted items stay out", low=1),
    "rank_after_readmitted": Column(pa.list_(_INDEX), "the same, if deleted items were candidates again", low=1),
    "score_before": Column(pa.list_(_STARS), "score of each target before, in stars"),
    "score_after": Column(pa.list_(_STARS), "score after, in stars"),
    "benchmark_score_after": Column(
        pa.list_(_STARS), "score after of the item now at the target's old rank, in stars: j in eq. (3)"
    ),
    "benchmark_score_after_readmitted": Column(pa.list_(_STARS), "the same, if deleted items were candidates again"),
}

OUTCOMES = Schema(
    "One model retrained without a deletion, recorded raw (Algorithm 1).",
    {
        "user": _USER,
        "deleted": _DELETED,
        "top1_score_before": Column(_STARS, "highest score of a candidate before, in stars"),
        "top1_score_after": Column(_STARS, "highest score of a candidate after, in stars"),
        "top1_score_after_readmitted": Column(_STARS, "the same, if deleted items were candidates again"),
        **_TARGETS,
    },
    same_length=tuple(_TARGETS),
)

VALIDATION = Schema(
    "One setting of the recommender, tried on a tenth of the training ratings.",
    {
        "regularization": Column(_NUMBER, "L2; empty where it is not what was tried", low=0, nullable=True),
        "learning_rate": Column(_NUMBER, "step of Adam; likewise", low=0, nullable=True),
        "epochs": _count("passes over the ratings; likewise", nullable=True),
        "validation_rmse": Column(
            _NUMBER,
            "root mean squared error on the ratings held out, in stars; empty if none is predicted",
            low=0,
            nullable=True,
        ),
        "validation_ndcg_10": _share("nDCG@10 on them; empty if ratings are predicted", nullable=True),
    },
)

_ERRORS = {
    "train_rmse": Column(
        _NUMBER,
        "root mean squared error on the training ratings, in stars; empty if none is predicted",
        low=0,
        nullable=True,
    ),
    "test_rmse": Column(
        _NUMBER, "root mean squared error on the test ratings, in stars; likewise", low=0, nullable=True
    ),
}

CURVE = Schema(
    "One epoch of training.",
    {
        "epoch": Column(_INDEX, "passes over the training ratings so far", low=0),
        **_ERRORS,
        "objective": Column(
            _NUMBER,
            "what training minimises, a rating: squared error and L2, in stars²; or, where none is predicted, a choice"
            " or negative: cross-entropy, in nats",
        ),
    },
)

SURROGATE_CURVES = Schema(
    "What one choice within the fit of a surrogate was made from: held-out users, by fold and penalty or epoch.",
    {
        "surrogate": Column(_TEXT, "the fit: surrogate, effect, and whatever is not as usual"),
        "penalty": Column(_NUMBER, "penalty tried; empty where there is none", low=0, nullable=True),
        "learning_rate": Column(_NUMBER, "step tried; empty where there is no choice", low=0, nullable=True),
        "fold": _count("which users are held out; empty where the same always are", nullable=True),
        "epoch": _count("passes over the rows; empty where there are none", nullable=True),
        "mse": Column(_NUMBER, "mean squared error, in stars²; empty for a classification", low=0, nullable=True),
        "r2": Column(_NUMBER, "share of the variance explained; likewise", high=1, nullable=True),
        "log_loss": Column(_NUMBER, "cross-entropy, in nats; empty for a regression", low=0, nullable=True),
        "accuracy": _share("share of rows whose class is predicted; likewise", nullable=True),
        "n_rows": _count("rows held out; empty where always the same", nullable=True),
    },
)

_ITEMS = Column(pa.list_(_INDEX), "indices of the items of the explanation, E; none where nothing is deleted", low=0)

EXPLANATIONS = Schema(
    "One explanation of a user's top recommendation by one method.",
    {"user": _USER, "target": _TARGET, "method": _METHOD, "items": _ITEMS},
)

GENERATION_TIME = Schema(
    "The time one explanation took; it differs from run to run.",
    {"user": _USER, "method": _METHOD, "seconds": Column(_NUMBER, "wall time, in seconds", low=0)},
)

EVALUATION = Schema(
    "One explanation tested: its items deleted, the model retrained, the target's rank read, eq. (2).",
    {
        "user": _USER,
        "target": _TARGET,
        "method": _METHOD,
        "items": _ITEMS,
        **{
            name: Column(_INDEX, _TARGETS[name].meaning.replace("each target", "the target"), low=1)
            for name in ("rank_before", "rank_after", "rank_after_readmitted")
        },
        "score_before": Column(_STARS, "score of the target before, in stars"),
        "score_after": Column(_STARS, "score after, in stars"),
    },
)

_SIZE = Column(_COUNT, "items deleted at once", low=1)

VERIFICATION = Schema(
    "One explanation that was to be proven before it is shown, for one K and budget; times differ from run to run.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "user": _USER,
        "target": _TARGET,
        "top_k": _TOP_K,
        "size": Column(_COUNT, "items asked for; empty where the fewest were looked for", low=1, nullable=True),
        "budget": Column(_COUNT, "models retrained at most", low=1),
        "n_items": Column(_COUNT, "items of the explanation, or of the best that was found instead", low=1),
        "rank_after": Column(_INDEX, _TARGETS["rank_after"].meaning.replace("each target", "the target"), low=1),
        "valid": Column(pa.bool_(), "whether it is proven, eq. (2)"),
        "retrained": Column(_COUNT, "models retrained", low=1),
        "seconds": Column(_NUMBER, "wall time of the explanation, its proof included, in seconds", low=0),
    },
)

NAIVE = Schema(
    "Algorithm 2 on one user: what all deletions of one size do to the user's top recommendation, at one K.",
    {
        "user": _USER,
        "target": _TARGET,
        "history": _count("training items of the user"),
        "size": _SIZE,
        "top_k": _TOP_K,
        "n_subsets": _count("deletions of this size: all of them, each really retrained"),
        "n_removing": _count("those after which the target left the top K"),
    },
)

TABLE1 = Schema(
    "One method in the paper's user study (Table 1): published, not reproducible from code. Only what the printed "
    "numbers imply is ours. Whether a standard deviation is over participants or over single answers is not said, so "
    "both are tried, for those who were kept and for all who were collected.",
    {
        "method": _METHOD,
        "mean": Column(_NUMBER, "average rating, published", low=1, high=5),
        "sd": Column(_NUMBER, "its standard deviation, published", low=0),
        "p_value": _share("published: one-sided paired t-test of linear_reg against this method", nullable=True),
        **{
            f"correlation_{name}": Column(
                _NUMBER,
                f"correlation between its ratings and linear_reg's that the published numbers imply if the test and "
                f"the standard deviations are over {units}; they contradict each other unless it is from -1 to 1",
                nullable=True,
            )
            for name, units in {
                "kept": "the participants kept",
                "collected": "the participants collected",
                "kept_answers": "the single answers of those kept",
                "collected_answers": "the single answers of all collected",
            }.items()
        },
        "mean_of_kept": Column(
            pa.bool_(), "whether the mean can be that of whole ratings, every question answered by all who were kept"
        ),
        "mean_of_collected": Column(pa.bool_(), "the same, by all who were collected"),
    },
)

TABLE1_ANSWERS = Schema(
    "One method in people's answers to a survey of notebook 85, those excluded left out, beside the paper's Table 1.",
    {
        "method": _METHOD,
        "n_people": _count("participants kept"),
        "mean": Column(_NUMBER, "average rating", low=1, high=5),
        "sd": Column(_NUMBER, "standard deviation over people of their mean ratings", low=0),
        "difference": Column(
            _NUMBER, "linear_reg's mean minus this; empty for itself, as all that follow", nullable=True
        ),
        "p_value": _share("one-sided paired t-test over people of linear_reg against this method", nullable=True),
        "p_holm": _share("the same, corrected for all methods (Holm)", nullable=True),
        "mixed_difference": Column(_NUMBER, "the difference in a mixed model of single ratings", nullable=True),
        "mixed_low": Column(_NUMBER, "lower end of its interval, 95 %", nullable=True),
        "mixed_high": Column(_NUMBER, "upper end", nullable=True),
        "mixed_p": _share("its one-sided p-value", nullable=True),
        "mixed_p_holm": _share("the same, corrected for all methods (Holm)", nullable=True),
        "paper_mean": Column(_NUMBER, "average rating in the paper; empty where it has none", nullable=True),
        "paper_sd": Column(_NUMBER, "its standard deviation in the paper", nullable=True),
        "paper_p": _share("the paper's p-value", nullable=True),
    },
)

TABLE2 = Schema(
    "One dataset (the paper's Table 2). Beside a stand-in are the paper's numbers of what it stands in for.",
    {
        "dataset": _DATASET,
        "users": _count("users"),
        "items": _count("items"),
        "interactions": _count("ratings"),
        "train": _count("ratings that recommenders are trained on"),
        "test": _count("ratings that test them"),
        "paper_users": _count("users in the paper; empty where it has none", nullable=True),
        "paper_items": _count("items in the paper", nullable=True),
        "paper_interactions": _count("ratings in the paper", nullable=True),
    },
)

_SHARE_OF_USERS = {
    "top_k": _TOP_K,
    "n_users": _count("users explained"),
    "n_valid": _count("users whose target left the top K after really retraining"),
    "validity": _share("n_valid / n_users"),
    "ci_low": _share("lower end of the Wilson interval of the validity, 95 %"),
    "ci_high": _share("upper end"),
}

_SHARE_OF_USERS_OF_METHOD = {"method": _METHOD, **_SHARE_OF_USERS}

_PAPER = _share("validity in the paper; empty where it has none", nullable=True)

TABLE_VALIDITY = Schema(
    "Validity of one method at one K (the paper's Tables 3 and 4). Beside a stand-in are the paper's numbers of what "
    "it stands in for.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        **_SHARE_OF_USERS_OF_METHOD,
        "paper": _PAPER,
    },
)

RECOMMENDERS = Schema(
    "One recommender on one dataset: how good what is explained is.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "factors": _count(
            "length of an embedding; where a black box has none, of the truncated SVD that stands in for it",
            nullable=True,
        ),
        "epochs": _count("passes over the training ratings; empty where the recommender has none", nullable=True),
        **_ERRORS,
        "ndcg_10": _share("normalised discounted cumulative gain of the top 10"),
        "same_top1_share": _share("share of users whose top recommendation is the most common one"),
        "distinct_top1": _count("different top recommendations"),
        "n_candidates": _count("items with a training rating: what is ranked, less each user's history"),
    },
)

SIGNAL = Schema(
    "How far a deletion moves the scores of its user, and of others.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "own_change": Column(_NUMBER, "mean |change of a score| of the deleting users, in the scores' units", low=0),
        "others_change": Column(_NUMBER, "the same of users who deleted nothing", low=0),
        "ratio": Column(
            _NUMBER,
            "own_change / others_change; below 5 effects drown in noise, empty if others do not move",
            low=0,
            nullable=True,
        ),
    },
)

SUTVA = Schema(
    "Who is recommended another item once one user deletes as many items as an explanation has: that user, and others.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "own": _count("deleting users"),
        "own_top1_changed": _count("of these, whose top recommendation is another one then"),
        "others": _count("users who deleted nothing, drawn anew for each deletion"),
        "others_top1_changed": _count("of these, likewise"),
        "others_share": _share("others_top1_changed / others"),
        "ci_low": _share("lower end of its Wilson interval, 95 %, of as many draws as deletions, see ``tables.study``"),
        "ci_high": _share("upper end"),
    },
)

_RECOMMENDER = Column(_TEXT, "kind of recommender")
_WORLD = Column(_TEXT, "the model of these settings without a seed, protocol and reading of its own, or else the first")
_PROTOCOL = Column(_TEXT, "what a retraining keeps of the original's")
_SEEDS = {
    "split_seed": Column(_INDEX, "number of the split; 0 is the study's own", low=0),
    "model_seed": Column(_INDEX, "root of the recommender's random numbers beside the study's", low=0),
}

WORLDS = Schema(
    "Validity of one method at one K, in one world, protocol and reading.",
    {
        "dataset": _DATASET,
        "recommender": _RECOMMENDER,
        "world": _WORLD,
        "protocol": _PROTOCOL,
        "reading": Column(
            _TEXT,
            "what may be recommended: no item of the original history (unseen); deleted items, once they are deleted "
            "(readmitted); any item with a training rating (seen)",
        ),
        **_SEEDS,
        **_SHARE_OF_USERS_OF_METHOD,
        "paper": _PAPER,
        "test_rmse": Column(_NUMBER, "error on the test ratings, in stars; empty for other scores", nullable=True),
        "ndcg_at_10": _share("normalised discounted cumulative gain of the top 10"),
        "distinct_top1": _count("different top recommendations"),
        "train_gap": Column(_NUMBER, "error on the test ratings less that on the training ratings", nullable=True),
    },
)

INDIFFERENT = Schema(
    "A surrogate that cross-validation left no weight on deleted items: the items that it names are chance.",
    {name: WORLDS.columns[name] for name in (*list(WORLDS.columns)[:7], "method")},
)

REPLICATION = Schema(
    "Validity of one method at one K in one world, over splits and seeds of the recommender.",
    {
        "dataset": _DATASET,
        "recommender": _RECOMMENDER,
        "world": _WORLD,
        "method": _METHOD,
        "top_k": _TOP_K,
        "n_splits": _count("splits"),
        "n_seeds": _count("seeds of the recommender on each"),
        "n_users": _count("test users of each"),
        "validity": _share("mean over all"),
        "ci_low": _share("lower end of the hierarchical bootstrap's interval, 95 %"),
        "ci_high": _share("upper end"),
        "lowest": _share("of the repetitions"),
        "highest": _share("of the repetitions"),
        "sd_of_seeds": Column(_NUMBER, "standard deviation over seeds, a mean over splits", low=0, nullable=True),
        "paper": _PAPER,
    },
)

RENUMBERED = Schema(
    "Validity of one method's explanations in a rebuilt world: of those that renumber anybody, and of the others.",
    {
        "dataset": _DATASET,
        "recommender": _RECOMMENDER,
        "world": _WORLD,
        "protocol": _PROTOCOL,
        **_SEEDS,
        **_SHARE_OF_USERS_OF_METHOD,
        "renumbers": Column(pa.bool_(), "whether anybody whose ratings are not all deleted has another number then"),
    },
)

ABLATIONS = Schema(
    "Validity of one variant of linear_reg at one K, beside linear_reg on the same users.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "family": Column(_TEXT, "what is varied"),
        "variant": Column(_TEXT, "how; linear_reg itself comes first"),
        **_SHARE_OF_USERS,
        "change_from_base": _signed("validity minus that of linear_reg; empty for itself"),
        "change_ci_low": _signed("lower end of its interval for paired shares, 95 %"),
        "change_ci_high": _signed("upper end"),
        "paper_change": _signed("change in the paper; empty where it has none"),
        "control": Column(
            _TEXT,
            "what differs in that one choice alone: linear_reg; the same surrogate on eq. (8), with the search of "
            "notebook 50; the size that explanations have, learnt from as many deletions per user; or the network that "
            "takes the mean; empty for itself, or where that size is not among the variants",
            nullable=True,
        ),
        "change_from_control": _signed("validity minus the control's"),
        "control_ci_low": _signed("lower end of its interval for paired shares, 95 %"),
        "control_ci_high": _signed("upper end"),
        "r2": Column(
            _NUMBER,
            "R² of predicted Δŷ_reg on the test users of Figure 7, whom no variant has seen; empty where another "
            "effect was learnt, or deletions of another size",
            high=1,
            nullable=True,
        ),
        "spearman": _signed("mean rank correlation with Δŷ_reg within such a user and target"),
    },
)

MCNEMAR = Schema(
    "Two methods compared on the same users: exact McNemar test.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "top_k": _TOP_K,
        "method_a": _METHOD,
        "method_b": _METHOD,
        "n_users": _count("users explained by both"),
        "only_a": _count("users for whom only a's explanation is valid"),
        "only_b": _count("users for whom only b's is"),
        "p_value": _share("two-sided"),
        "p_holm": _share(
            "the same, corrected by Holm for all pairs of the dataset, model and K, those of methods of our own too"
        ),
    },
)

TABLE_NAIVE = Schema(
    "What deletions up to one size can do at all, by Algorithm 2 on users with short histories: no method that names "
    "so many items can be valid for more of them.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "top_k": _TOP_K,
        "size": _SIZE,
        "n_users": _count("users tried; 0 where no history is so short"),
        "n_removable": _count("users for whom some deletion of exactly this size removes the target from the top K"),
        "n_removable_upto": _count("users for whom some deletion of at most this size does"),
        "share_upto": _share("n_removable_upto / n_users", nullable=True),
        "ci_low": _share("lower end of its Wilson interval, 95 %", nullable=True),
        "ci_high": _share("upper end", nullable=True),
        "mean_subset_share": _share(
            "share of a user's deletions of this size that remove the target, a mean over the users with so many items",
            nullable=True,
        ),
    },
)

VERDICT = Schema(
    "One claim of the paper, judged by rule. Numbers of a validity are in percent of users, those of a difference of "
    "two in percentage points, others as the claim says.",
    {
        "claim": Column(_TEXT, "the claim, with the unit of its number"),
        "where": Column(_TEXT, "where in the paper"),
        "paper": Column(
            _NUMBER,
            "the number in the paper, of the dataset and kind of the world beside it; empty where it has none",
            nullable=True,
        ),
        "ours": Column(
            _NUMBER,
            "ours of the first world in the study's order, not of the nearest; empty where none was measured",
            nullable=True,
        ),
        "ci_low": Column(_NUMBER, "lower end of its 95 % interval; empty where there are too few users", nullable=True),
        "ci_high": Column(_NUMBER, "upper end", nullable=True),
        "worlds": Column(
            _TEXT, "of each world that was measured: our number with its interval, the paper's, and the verdict there"
        ),
        "verdict": Column(
            _TEXT,
            "over all worlds: reproduced, in direction, in some worlds, not, contradicted, or not testable by code; "
            "empty where none was measured",
            nullable=True,
        ),
        "command": Column(_TEXT, "what regenerates the evidence"),
    },
)

RUNTIME = Schema(
    "What one stage cost, over all cells; it differs from run to run.",
    {
        "stage": Column(_TEXT, "the stage"),
        "minutes": Column(_NUMBER, "wall time, summed over its jobs, in minutes", low=0),
        "peak_mib": Column(
            _NUMBER, "largest resident memory of a job, in MiB; empty where it was not measured", low=0, nullable=True
        ),
        "retrainings": _count("models retrained; empty where there are none", nullable=True),
        "ns_per_rating_and_model": Column(
            _NUMBER,
            "wall time of the whole jobs per rating, epoch and model, in nanoseconds: at most this for retraining",
            low=0,
            nullable=True,
        ),
    },
)


MEASURED = Schema(
    "One item set of the test user whom Figure 7 shows: what really deleting it did to the user's top item, and what "
    "measures say of it.",
    {
        "user": _USER,
        "score_decrease": Column(_NUMBER, "score of the top item before, less that after, in stars"),
    },
    others=Column(
        _NUMBER,
        "a measure: mean distance of the items from the top item (KNN takes the smallest); sum of eq. (10) over them, "
        "the predicted score decrease, in stars; or a surrogate's prediction, of Δŷ_reg in stars or the logit of "
        '"ranked lower"; empty where the model has no such measure',
        nullable=True,
    ),
)

CORRELATION = Schema(
    "One measure against the really retrained score decrease of one user's top item, over item sets (Figure 7).",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "user": _USER,
        "measure": Column(_TEXT, "what is said of an item set before retraining"),
        "n_sets": _count("item sets"),
        "pearson": _signed("Pearson correlation over the sets; empty where measure or decrease is constant"),
        "spearman": _signed("Spearman's, likewise"),
        "pearson_low": _signed("lower end of the 95 % interval of the Pearson correlation (Fisher's z)"),
        "pearson_high": _signed("upper end"),
    },
)

SURROGATE_QUALITY = Schema(
    "How well one surrogate, or influence function, predicts Δŷ_reg of users whom no surrogate has seen.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "predictor": Column(_TEXT, "what predicts: the name of a method"),
        "n_targets": _count("top items of each user: 1 is the one that is explained"),
        "n_users": _count("users with a target whose effect differs between deletions"),
        "n_rows": _count("deletions × targets, of all users"),
        "r2": Column(
            _NUMBER,
            "share of the variance of all rows explained; 0 or less is no better than their mean; empty for what"
            " predicts something else, which may order deletions all the same",
            high=1,
            nullable=True,
        ),
        "r2_within": Column(
            _NUMBER, "the same of the variance within a user and target, both centred there", high=1, nullable=True
        ),
        "spearman": _signed(
            "rank correlation of predicted and true effects of a user and target, a mean over targets, then users;"
            " 0 where predictions are constant"
        ),
        "spearman_low": Column(_NUMBER, "lower end of its 95 % t-interval, users as units", nullable=True),
        "spearman_high": Column(_NUMBER, "upper end", nullable=True),
        "lift": Column(
            _NUMBER,
            "true effect of the deletion predicted best, less the mean over the deletions of that user and target,"
            " in their standard deviations; a mean likewise; 0 is a random choice",
            nullable=True,
        ),
        "lift_low": Column(_NUMBER, "lower end of its 95 % t-interval, users as units", nullable=True),
        "lift_high": Column(_NUMBER, "upper end", nullable=True),
        "lift_best": Column(_NUMBER, "the lift of the truly best deletion: the ceiling", nullable=True),
    },
)

PROJECTION = Schema(
    "One training row of the surrogates in the plane (Figure 8).",
    {
        "user": _USER,
        "x": Column(_STARS, "first coordinate of t-SNE, which has no unit"),
        "y": Column(_STARS, "second coordinate"),
        "effect": Column(_STARS, "Δŷ_reg, in stars"),
    },
)

SEPARABILITY = Schema(
    "How well one probe tells effects apart by eq. (8), on held-out users: a number beside Figure 8.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "probe": Column(_TEXT, "what is fitted", among=("linear", "non-linear")),
        "n_users": _count("training users"),
        "n_rows": _count("rows drawn from theirs: the points of the picture"),
        "folds": _count("folds of the cross-validation, grouped by user"),
        "r2": Column(_NUMBER, "held-out R² of Δŷ_reg, pooled over folds; 0 or less is no better than the mean", high=1),
        "r2_low": Column(_NUMBER, "lower end of its 95 % interval, users resampled", high=1),
        "r2_high": Column(_NUMBER, "upper end", high=1),
        "auc": _share('held-out area under the ROC curve of "Δŷ_reg is above its median", pooled; 0.5 is chance'),
        "auc_low": _share("lower end of its 95 % interval, users resampled"),
        "auc_high": _share("upper end"),
        "r2_fitted": Column(_NUMBER, "R² on the very rows that the probe is fitted to, all of them", high=1),
        "auc_fitted": _share("area under the ROC curve there"),
    },
)

BY_PATH = {
    paths.RATINGS: RATINGS,
    paths.USERS: USERS,
    paths.ITEMS: ITEMS,
    paths.VALIDATION: VALIDATION,
    paths.CURVE: CURVE,
    paths.OUTCOMES: OUTCOMES,
    paths.SURROGATE_CURVES: SURROGATE_CURVES,
    paths.EXPLANATIONS: EXPLANATIONS,
    paths.GENERATION_TIME: GENERATION_TIME,
    paths.EVALUATION: EVALUATION,
    paths.NAIVE: NAIVE,
    paths.VERIFICATION: VERIFICATION,
    paths.CORRELATION_OUTCOMES: OUTCOMES,
    paths.MEASURED: MEASURED,
    paths.CORRELATION: CORRELATION,
    paths.SURROGATE_QUALITY: SURROGATE_QUALITY,
    paths.ABLATION: EVALUATION,
    paths.ABLATION_TIME: GENERATION_TIME,
    paths.PROJECTION: PROJECTION,
    paths.SEPARABILITY: SEPARABILITY,
}
"""What each table of a run holds."""
