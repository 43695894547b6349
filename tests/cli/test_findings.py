"""``wetread findings`` as a person or a script uses it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from node.cli.main import cli


def findings(*arguments, text):
    data = text if isinstance(text, bytes) else text.encode()
    return CliRunner().invoke(cli, ["findings", *arguments], input=data)


def test_each_json_line_gives_one_object_with_labels():
    lines = [
        json.dumps({"id": "a", "text": "Small left pleural effusion. No pneumothorax."}),
        json.dumps({"id": 2, "text": "IMPRESSION: Clear lungs."}),
    ]

    result = findings("--json", "--label-set", "chest14", "-", text="\n".join(lines))

    assert result.exit_code == 0, result.output
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["id"], second["id"]) == ("a", 2)
    assert first["labels"]["Effusion"] == "present"
    assert first["labels"]["Pneumothorax"] == "absent"
    assert first["labels"]["Mass"] is None
    assert first["findings"][0]["laterality"] == "left"
    assert first["findings"][0]["label_names"] == ["Effusion"]
    assert second["normal_sites"] == ["lung"]


def test_plain_text_is_shown_with_its_findings():
    result = findings(text="Recommend CT in 3 months if the 8 mm nodule grows.")

    assert result.exit_code == 0, result.output
    assert "nodule" in result.stdout
    assert "CT in 90 days" in result.stdout


@pytest.mark.parametrize("columns", [50, 80, 200])
def test_a_terminal_of_any_width_shows_every_word(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))

    result = findings(
        text="IMPRESSION: History of compression fracture. Bilateral pleural effusions, "
        "the left 12 x 8 mm, previously 8 x 6 mm, in the lower lobes. Return if pneumothorax."
    )

    heading = next(line for line in result.stdout.splitlines() if line.startswith("findin"))
    table = result.stdout.split(heading, 1)[1]
    assert "…" not in table
    assert "_" not in table
    if columns >= 80:
        assert heading.split()[-1] == "section"
        for word in ("compression", "pneumothorax", "hypothetical", "bilateral", "impression"):
            assert word in table


def test_a_bad_line_is_named_and_the_others_are_read():
    result = findings("--json", text='{"text": "No mass."}\n{"id": 3}\n{oops\n{"text": "Mass."}')

    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    assert 'line 2: expected an object with a string "text"' in result.stderr
    assert "line 3 is no JSON" in result.stderr
    assert "oops" not in result.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_encodings_of_chinese_reports_are_told_apart(encoding):
    result = findings("--json", text="右侧胸腔积液。未见气胸。".encode(encoding))

    found = {f["concept"]: f["presence"] for f in json.loads(result.stdout)["findings"]}
    assert found == {"pleural_effusion": "present", "pneumothorax": "absent"}


def test_latin_1_is_read_when_nothing_else_fits():
    result = findings("--json", text="Pneumothorax chez René.".encode("latin-1"))

    assert json.loads(result.stdout)["findings"][0]["text"] == "Pneumothorax"


def test_what_is_no_text_and_what_does_not_exist_ends_with_a_clear_error(tmp_path):
    binary = findings(text=b"\x7fELF\x00\x00")
    missing = findings(str(tmp_path / "none.txt"), text="")
    unknown = findings("--label-set", "chest99", text="x")

    assert (binary.exit_code, missing.exit_code, unknown.exit_code) == (1, 2, 2)
    assert "byte 4 is NUL" in binary.stderr
    assert "cannot read" in missing.stderr
    assert "there are chest14" in unknown.stderr
