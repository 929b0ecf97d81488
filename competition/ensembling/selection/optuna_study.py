"""Optuna without its chatter."""

import warnings

import optuna


def quiet_study(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    """Make an in-memory study that maximises and print nothing below a warning."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=sampler)


def low_discrepancy_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Make a scrambled Sobol sampler: it covers the cube evenly and never looks at a result."""
    with warnings.catch_warnings():
        # Marked experimental since Optuna 3.0 and unchanged through 5.0.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed, warn_independent_sampling=False)
