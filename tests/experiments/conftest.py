"""What the tests of the experiments share: a smoke run whose stages are done."""
from __future__ import annotations

import pytest

from experiments.figures import experiment
from experiments.pipeline import runner
from experiments.pipeline.lab import Lab
from experiments.settings import Settings


@pytest.fixture(scope="session")
def smoke_lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Return a lab in which all stages of all experiments of the smoke preset have been run."""
    lab = Lab(Settings("smoke", out=tmp_path_factory.mktemp("smoke")))
    runner.run_stages(lab, runner.plan(experiment.needs(experiment.EXPERIMENTS, lab.sizes), lab), say=lambda line: None)
    return lab
