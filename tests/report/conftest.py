"""Pages of a plan and of a run over rows that mean harm, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc import api
from report_pages import PLAN, RUN, Pages, Told, write_model, write_sources


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """The pages of a plan for a GPU, and of a run of pairs on the CPU whose training is made up."""
    from ftc.artifact import build
    from ftc.report.of_plan import plan_page

    root = tmp_path_factory.mktemp("pages")
    write_sources(root)
    write_model(root / "model")
    recipe, pairs = root / "chats.toml", root / "pairs.toml"
    recipe.write_text(PLAN)
    pairs.write_text(RUN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "launch", Told())
        built = api.build(pairs)
    assert built.run is not None, built.findings
    page = plan_page(recipe)
    assert page.page is not None, page.findings
    return Pages(recipe, page.page, pairs, built.run)


@pytest.fixture(scope="session")
def gpu_run(pages: Pages) -> Path:
    """A run of packed chats whose plan is for a GPU, as if there were one."""
    from ftc.artifact import build
    from ftc.jobs import building

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "launch", Told())
        patch.setattr(building, "_lacking_device", lambda _: None)
        built = api.build(pages.recipe)
    assert built.run is not None, built.findings
    return built.run
