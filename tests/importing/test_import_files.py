"""Files that cannot be imported: what is said, where, and that nothing in them is done."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ftc.importing.document import MOST_BYTES, read_document
from ftc.importing.work import Wish, import_file
from importing.peer_configs import Import


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("a: 1\nb: [1, 2\n", "config.yaml:3:1", "expected ',' or ']'"),
        ("a: 1\nb: 2\na: 3\n", "config.yaml:3:1", "`a` stands here a second time"),
        ("a:\n  b: 1\n  b: 2\n", "config.yaml:3:3", "`b` stands here a second time"),
        ("a: !!python/object/apply:os.system [id]\n", "config.yaml:1:4", "python/object/apply"),
        ("a: !mine 3\n", "config.yaml:1:4", "`!mine`"),
        ("a: 1\n---\nb: 2\n", "config.yaml:2:1", "document"),
        ("- a\n- b\n", "config.yaml:1:1", "no table"),
        ("", "config.yaml:1:1", "empty"),
        ("a: *nothing\n", "config.yaml:1:4", "undefined alias"),
        ("a: \x07\n", "config.yaml:1:4", "U+0007"),
        ("? [a, b]\n: 1\n", "config.yaml:1:3", "single word"),
        ("a: 2026-99-99\n", "config.yaml:1:4", "cannot be read"),
    ],
)
def test_what_is_no_yaml_is_found_at_its_place(text: str, place: str, said: str, imported: Import) -> None:
    done = imported(text)
    assert done.text is None
    (finding,) = done.findings
    assert finding.code == "FTC121"
    assert finding.span is not None
    assert finding.span.place == place
    assert said in finding.message


def test_all_duplicates_come_out_at_once(imported: Import) -> None:
    assert len(imported("a: 1\na: 2\nb: 1\nb: 2\nc: {d: 1, d: 2}\n").findings) == 3


def test_aliases_that_grow_beyond_measure_end(imported: Import) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    (finding,) = imported(bomb).findings
    assert "more than" in finding.message


def test_a_table_within_itself_and_deep_nesting_end(imported: Import) -> None:
    (finding,) = imported("a: &a {b: *a}\n").findings
    assert finding.code == "FTC121"
    (finding,) = imported("a: " + "[" * 5000 + "]" * 5000 + "\n").findings
    assert "deep" in finding.message or "more than" in finding.message


def test_anchors_and_merges_are_followed(home: Path) -> None:
    file = home / "config.yaml"
    file.write_text("base: &base {a: 1, b: 2}\ntop:\n  <<: *base\n  b: 3\non: yes\n", encoding="utf-8")
    document = read_document(file)
    assert not isinstance(document, tuple)
    assert document.values == {"base": {"a": 1, "b": 2}, "top": {"a": 1, "b": 3}, "on": True}


def test_files_that_cannot_be_read(home: Path) -> None:
    def code(name: str) -> str:
        done = import_file(home / name, Wish(home / "recipe.toml"))
        assert done.text is None
        return done.findings[0].code

    assert code("nowhere.yaml") == "FTC120"
    assert code(".") == "FTC120"
    (home / "latin.yaml").write_bytes("a: ä\n".encode("latin-1"))
    assert code("latin.yaml") == "FTC120"
    (home / "large.yaml").write_text("a: " + "x" * MOST_BYTES, encoding="utf-8")
    assert code("large.yaml") == "FTC120"


def test_a_broken_dataset_info_is_found_at_its_place(imported: Import, home: Path) -> None:
    (home / "dataset_info.json").write_text('{\n  "t": {,}\n}\n', encoding="utf-8")
    done = imported("model_name_or_path: a/b\ncutoff_len: 8\ndataset: t\n")
    assert done.text is None
    assert ("FTC121", "dataset_info.json:2:9") in {(one.code, one.place) for one in done.findings}


def test_no_other_file_is_opened(imported: Import, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = Path.open

    def noted(self: Path, *args: object, **options: object) -> object:
        opened.append(self.name)
        return real(self, *args, **options)  # type: ignore[call-overload]

    (home / "rows.jsonl").write_text("{}\n", encoding="utf-8")
    imported("model_name_or_path: a/b\ncutoff_len: 8\ndataset: tasks\n")  # loads modules
    monkeypatch.setattr(Path, "open", noted)
    imported("base_model: ./model\nsequence_len: 8\ndatasets: [{path: rows.jsonl, type: completion}]\n")
    imported("model_name_or_path: a/b\ncutoff_len: 8\ndataset: tasks\ntokenized_path: rows.jsonl\n")
    assert set(opened) == {"config.yaml", "dataset_info.json"}


def test_paths_are_told_from_the_recipe_s_place(home: Path) -> None:
    file = home / "config.yaml"
    file.write_text(
        "base_model: ./model\nsequence_len: 8\ndatasets: [{path: rows/a.jsonl, type: completion}]\n",
        encoding="utf-8",
    )
    done = import_file(file, Wish(home / "recipes" / "mine.toml"))
    assert 'base = "../model"' in (done.text or "")
    assert 'sources.a = "../rows/a.jsonl"' in (done.text or "")


def test_a_path_out_of_the_project_is_kept_and_left_to_check(imported: Import) -> None:
    done = imported(
        "base_model: a/b\nsequence_len: 8\ndatasets: [{path: /etc/passwd.jsonl, type: completion}]\n"
    )
    assert 'sources.passwd = "/etc/passwd.jsonl"' in (done.text or "")
    assert "[project]" not in (done.text or "")


def test_text_of_the_file_cannot_leave_its_comment(imported: Import) -> None:
    done = imported(
        'base_model: "a/b\\n[train]\\nepochs = 99\\x1b[2J"\nsequence_len: 8\ndatasets: [{path: a.jsonl}]\n'
    )
    assert "\x1b" not in (done.text or "")
    values = tomllib.loads(done.text or "")
    assert values["model"]["base"].startswith("./a/b\n[train]")
    assert values["train"]["epochs"] == 1
