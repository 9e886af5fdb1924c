"""What makes a black box, as a study names it: imported and checked without the libraries of the rest."""

import importlib.util
import inspect
import pkgutil
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from typing import Any

from ..retrain.settings import BlackBoxConfig, lacking
from ..settings import ConfigError


def located(settings: BlackBoxConfig) -> ModuleSpec:
    """The module of the factory, which is not imported.

    Raises:
        ConfigError: it is not there.
    """
    name = settings.factory.partition(":")[0]
    try:
        if spec := importlib.util.find_spec(name):
            return spec
        raise ModuleNotFoundError(f"No module named {name!r}")
    except Exception as error:  # of a package that is not ours
        raise _unimportable(settings, error) from error


def _unimportable(settings: BlackBoxConfig, error: Exception) -> ConfigError:
    return ConfigError(
        f"models: the blackbox factory {settings.factory!r} cannot be imported ({type(error).__name__}: {error}); "
        "write package.module:name of something installed, on PYTHONPATH or in the folder of the study's file"
    )


def resolved(settings: BlackBoxConfig, seed: int) -> Callable[[], Any]:
    """What returns a fresh recommender: the factory with its settings, and the seed where it takes one.

    Raises:
        ConfigError: it cannot be imported, or does not take the settings.
    """
    said = f"models: the blackbox factory {settings.factory!r}"
    try:
        made = pkgutil.resolve_name(settings.factory)
    except Exception as error:  # of code that is not ours
        raise _unimportable(settings, error) from error
    if not callable(made):
        raise ConfigError(f"{said} is a {type(made).__name__}; name a class, or a function that returns a fresh object")
    try:
        takes = inspect.signature(made)
    except ValueError:  # written in C, and silent: it is told all, as such classes take any keyword
        return partial(made, **settings.settings, seed=seed)
    kinds = {each.kind for each in takes.parameters.values()}
    given = dict(settings.settings)
    if "seed" in takes.parameters or inspect.Parameter.VAR_KEYWORD in kinds:
        given["seed"] = seed
    try:
        takes.bind(**given)
    except TypeError as error:
        raise ConfigError(
            f"{said} is {made.__name__}{takes}, which does not take `settings` {settings.settings} ({error}); write "
            "those that it takes"
        ) from None
    return partial(made, **given)


def check(settings: BlackBoxConfig, seed: int) -> None:
    """See that the factory makes what can be trained, by making one that is not.

    Raises:
        ConfigError: as ``resolved``; or it fails, or its object lacks ``fit`` or ``scores``.
    """
    said = f"models: the blackbox factory {settings.factory!r}"
    make = resolved(settings, seed)
    try:
        unfitted = make()
    except Exception as error:  # of code that is not ours
        raise ConfigError(
            f"{said} fails with `settings` {settings.settings} ({type(error).__name__}: {error}); correct them, or it"
        ) from error
    if missing := lacking(unfitted):
        raise ConfigError(
            f"{said} makes a {type(unfitted).__name__} without {' and '.join(missing)}; give it fit(ratings) and "
            "scores(user)"
        )
