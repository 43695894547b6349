"""The commands as a person or a script uses them: words, JSON and exit codes."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from node.app.stores import open_stores
from node.cli.demo_report import statements
from node.cli.main import cli
from node.config.load import load_config
from node.domain import DeliveryState, Outcome, StudyState
from node.encode.base import encode
from node.store.ledger import StepRow
from node.store.standing import Arrival
from tests.builders import ct_series, write
from tests.builders.network import free_port, peer
from tests.builders.records import NOON, after, artifact, instance, plan
from tests.encode.conftest import lungs, make_context, make_source
from tests.engines.builders import manifest, network, write_package


@pytest.fixture
def wetread():
    """Run a command and give its result."""
    return lambda *arguments: CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture
def config_file(tmp_path):
    """A configuration with one model and a destination on a port nobody listens on."""
    return write_config(tmp_path, free_port())


def write_config(folder, port):
    write_package(folder / "models/tiny", manifest(), network(kind="threshold"))
    path = folder / "wetread.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "data_dir": "data",
                "models_dir": "models",
                "receive": {"accept_from": [{"ae_title": "CT1"}]},
                "destinations": {
                    "pacs": {
                        "ae_title": "MAINPACS",
                        "host": "127.0.0.1",
                        "port": port,
                        "timeout_s": 5,
                    }
                },
                "rules": [
                    {"name": "CT", "when": {"Modality": "CT"}, "run": ["tiny"], "send_to": ["pacs"]}
                ],
            }
        )
    )
    return path


def test_a_good_configuration_is_good(wetread, config_file):
    result = wetread("check", config_file)

    assert result.exit_code == 0
    assert "good: 1 rules, 1 destinations" in result.output


def test_every_mistake_is_printed_with_its_line_and_the_exit_code_is_two(wetread, config_file):
    text = config_file.read_text().replace("port:", "prot:").replace("- tiny", "- tyni")
    config_file.write_text(text)

    result = wetread("check", config_file)

    assert result.exit_code == 2
    lines = result.output.splitlines()
    assert len(lines) == 2
    for line, word in zip(lines, ("prot", "tyni"), strict=True):
        place, key, _ = line.split(": ", 2)
        assert place.startswith(f"{config_file}:")
        assert word in line
        assert key


def test_the_schema_of_a_manifest_judges_as_loading_does(wetread, pytestconfig):
    schema = json.loads(wetread("schema", "--manifest").output)
    text = (pytestconfig.rootpath / "models" / "cxr-view" / "manifest.yaml").read_text()
    good = json.loads(json.dumps(yaml.safe_load(text)))

    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**good, "execute": "model.py"}, schema)


def test_the_schema_judges_as_the_check_does(wetread, config_file):
    schema = json.loads(wetread("schema").output)

    jsonschema.validate(yaml.safe_load(config_file.read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"rules": []}, schema)


def test_a_command_with_a_wrong_configuration_ends_with_two_and_the_mistakes(wetread, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("receive: {port: 99999999}\n")

    result = wetread("studies", "list", "--config", wrong)

    assert result.exit_code == 2
    assert f"{wrong}:1: receive.port" in result.output


@pytest.mark.loopback
def test_echo_says_who_answers_and_fails_when_nobody_does(wetread, tmp_path, config_file):
    assert wetread("echo", "pacs", "--config", config_file).exit_code == 1
    with peer() as pacs:
        result = wetread("echo", "pacs", "--config", write_config(tmp_path, pacs.port))

    assert result.exit_code == 0
    assert "MAINPACS at 127.0.0.1" in result.output


def test_echo_of_an_unknown_destination_names_those_there_are(wetread, config_file):
    result = wetread("echo", "archive", "--config", config_file)

    assert result.exit_code == 2
    assert "configured: pacs" in result.output


@pytest.mark.loopback
def test_send_stores_a_folder_and_counts(wetread, tmp_path):
    write(ct_series(slices=3), tmp_path / "study")
    (tmp_path / "study" / "notes.txt").write_text("not DICOM")
    with peer() as pacs:
        config = write_config(tmp_path, pacs.port)
        result = wetread("send", tmp_path / "study", "--to", "pacs", "--config", config)

        assert "3 of 3 stored at pacs" in result.output
        assert len(pacs.stored) == 3


@pytest.mark.loopback
def test_send_fails_when_the_destination_refuses_and_says_which(wetread, tmp_path):
    write(ct_series(slices=2), tmp_path / "study")
    with peer(answer=lambda ds: 0xA900 if ds.InstanceNumber == 2 else 0) as pacs:
        config = write_config(tmp_path, pacs.port)
        result = wetread("send", tmp_path / "study", "--to", "pacs", "--config", config)

    assert result.exit_code == 1
    assert "0xA900" in result.output
    assert "1 of 2 stored" in result.output


@pytest.fixture
def settled(config_file):
    """A study that has been through everything."""
    stores = open_stores(load_config(config_file))
    stores.index.record_instance(instance())
    stores.index.complete_study(stores.index.study("1.2.3"), after(60), "no new instance for 60 s")
    stores.index.store_plan(plan())
    stores.ledger.record_step("1.2.3", 1, StepRow("infer", "0: ct-lungs@1.0.0", 2.5, NOON, ""))
    stores.ledger.record_artifacts([artifact()], "key", NOON)
    stores.index.set_state("1.2.3", 1, StudyState.DONE, "", after(70))
    return config_file


def test_studies_are_listed(wetread, settled):
    rows = json.loads(wetread("studies", "list", "--json", "--config", settled).output)

    assert [(row["study_instance_uid"], row["state"]) for row in rows] == [("1.2.3", "done")]
    assert "1.2.3" in wetread("studies", "list", "--config", settled).output


def test_a_study_shows_its_plan_steps_and_deliveries(wetread, settled):
    shown = wetread("studies", "show", "1.2.3", "--config", settled).output

    for word in ("no new instance for 60 s", "rule CT", "localizer left out", "infer", "waiting"):
        assert word in shown
    content = json.loads(wetread("studies", "show", "1.2.3", "--json", "--config", settled).output)
    assert content["revisions"][0]["deliveries"][0]["destination"] == "pacs"


def test_a_study_that_was_never_received_is_said_to_be_so(wetread, config_file):
    result = wetread("studies", "show", "9.9.9", "--config", config_file)

    assert result.exit_code == 1
    assert "no study 9.9.9 was received" in result.output


def test_what_waits_for_a_destination_that_is_away_says_so_with_the_reason(wetread, settled):
    outbox = open_stores(load_config(settled)).ledger.outbox
    outbox.open(["pacs"])
    outbox.note_failure("pacs", 2, "MAINPACS cannot be reached", NOON, after(10))

    [row] = json.loads(wetread("destinations", "--json", "--config", settled).output)
    assert (row["destination"], row["configured"], row["waiting"]) == ("pacs", True, 1)
    assert (row["failures"], row["reason"]) == (2, "MAINPACS cannot be reached")
    assert "away since" in wetread("destinations", "--config", settled).output
    content = json.loads(wetread("studies", "show", "1.2.3", "--json", "--config", settled).output)
    [delivery] = content["revisions"][0]["deliveries"]
    assert delivery["reason"] == "MAINPACS cannot be reached"
    assert delivery["next_try_at"] == str(after(10))


def test_a_destination_that_nothing_was_sent_to_is_reachable(wetread, config_file):
    result = wetread("destinations", "--config", config_file)

    assert result.exit_code == 0
    assert "reachable" in result.output


def test_results_are_sent_again_when_there_are_any(wetread, settled):
    def resend(*options):
        result = wetread("studies", "resend", "1.2.3", *options, "--config", settled)
        return result.exit_code, result.output.strip()

    ledger = open_stores(load_config(settled)).ledger
    assert resend() == (1, "Error: no delivery of 1.2.3 has ended")
    ledger.record_outcome("2.25.1", "pacs", Outcome(DeliveryState.DELIVERED, 0, ""), NOON)
    assert resend("--failed-only") == (1, "Error: no delivery of 1.2.3 has failed")
    assert resend("--to", "archive")[0] == 2

    assert resend("--to", "pacs") == (0, "1 objects of 1.2.3 will be sent again")

    [row] = ledger.deliveries("1.2.3", 1)
    assert (row.state, row.attempts) == (DeliveryState.WAITING, 1)
    assert row.reason == "sent again by an administrator"
    assert "delivering" in wetread("studies", "list", "--config", settled).output


def test_an_ended_study_is_planned_anew_once(wetread, settled):
    again = wetread("studies", "rerun", "1.2.3", "--config", settled)
    too_early = wetread("studies", "rerun", "1.2.3", "--config", settled)

    assert (again.exit_code, again.output) == (0, "revision 2 of 1.2.3 will be planned\n")
    assert too_early.exit_code == 1
    assert "has not ended" in too_early.output


@pytest.fixture
def doubtful(config_file):
    """A study of which two of three instances name another patient."""
    stores = open_stores(load_config(config_file))
    stores.index.record_instances(
        [
            Arrival(instance(1), patient="one"),
            Arrival(instance(2), patient="another"),
            Arrival(instance(3), patient="another"),
        ]
    )
    stores.close()
    return config_file


def test_what_is_in_quarantine_is_listed_with_the_reason(wetread, doubtful):
    listed = wetread("studies", "quarantine", "--config", doubtful).output
    rows = json.loads(wetread("studies", "quarantine", "--json", "--config", doubtful).output)
    others = wetread("studies", "quarantine", "9.9", "--config", doubtful).output
    one = wetread("studies", "quarantine", "--limit", "1", "--config", doubtful).output

    assert "PatientID" in listed
    assert "CT1" in listed
    assert [row["sop_instance_uid"] for row in rows] == ["1.2.3.1.3", "1.2.3.1.2"]
    assert others == "nothing is in quarantine\n"
    assert one.endswith("the newest 1 of 2\n")


def test_studies_show_what_is_in_quarantine(wetread, doubtful):
    rows = json.loads(wetread("studies", "list", "--json", "--config", doubtful).output)
    shown = wetread("studies", "show", "1.2.3", "--config", doubtful).output

    assert rows[0]["quarantined"] == 2
    assert "2 instances are in quarantine" in shown
    assert "wetread studies release 1.2.3" in " ".join(shown.split())


def test_what_is_in_quarantine_is_released_once(wetread, doubtful):
    release = ("studies", "release", "1.2.3", "--config", doubtful)
    one = wetread(*release, "--sop-instance-uid", "1.2.3.1.2")
    same = wetread(*release, "--sop-instance-uid", "1.2.3.1.2")
    rest = wetread(*release)
    nothing = wetread(*release)

    assert one.output == "1 instance of 1.2.3 released; revision 1 of it will be planned\n"
    assert (same.exit_code, rest.exit_code, nothing.exit_code) == (1, 0, 1)
    assert same.output == "Error: 1.2.3.1.2 of study 1.2.3 is not in quarantine\n"
    assert nothing.output == "Error: nothing of study 1.2.3 is in quarantine\n"


def test_models_are_listed_and_a_broken_one_does_not_hide_the_others(wetread, tmp_path):
    write_package(tmp_path / "good", manifest(), network(kind="threshold"))
    broken = write_package(tmp_path / "broken", manifest(), network(kind="threshold"))
    (broken / "model.onnx").write_bytes(b"other bytes")

    result = wetread("models", "list", "--models-dir", tmp_path, "--json")

    assert result.exit_code == 1
    found = json.loads(result.output)
    assert [package["name"] for package in found["packages"]] == ["tiny"]
    assert "sha256" in found["broken"]["broken"]
    assert found["backends"]["onnx"] is None


def test_a_package_that_is_wrong_says_where_and_in_which_check(wetread, tmp_path):
    content = manifest(select={"Modality": {"least": 3}})
    folder = write_package(tmp_path / "tiny", content, network(kind="threshold"))
    lines = (folder / "manifest.yaml").read_text().splitlines()
    at = lines.index("select:") + 2

    shown = wetread("models", "verify", "--models-dir", tmp_path)
    found = json.loads(wetread("models", "verify", "--models-dir", tmp_path, "--json").output)

    assert shown.exit_code == 1
    assert "tiny 1.0.0: wrong (select, self-test)" in shown.output
    assert f"  manifest.yaml:{at}: select.Modality: " in shown.output
    checks = {check["check"]: check["findings"] for check in found["tiny 1.0.0"]}
    assert list(checks) == ["manifest", "select", "hash", "graph", "load", "self-test"]
    assert [name for name, findings in checks.items() if findings] == ["select", "self-test"]


def test_a_backend_that_cannot_run_here_is_no_verdict_on_a_package_but_no_success(
    wetread, tmp_path
):
    write_package(tmp_path / "tiny", manifest(), network(kind="threshold"))

    result = wetread("models", "verify", "--models-dir", tmp_path, "--backend", "magic")

    assert result.exit_code == 1
    assert "no backend 'magic'; installed: " in result.output


def test_the_shipped_models_verify(wetread, pytestconfig):
    result = wetread("models", "verify", "--models-dir", pytestconfig.rootpath / "models")

    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.output.splitlines()] == [
        "ct-lungs",
        "cxr-lungs",
        "cxr-view",
    ]


def test_a_model_is_measured_stage_by_stage(wetread, tmp_path):
    write_package(tmp_path / "tiny", manifest(), network(kind="threshold"))

    result = wetread(
        *("models", "bench", "tiny", "--models-dir", tmp_path, "--backend", "onnx"),
        *("--shape", 4, 8, 8, "--rounds", 1, "--json"),
    )

    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["backends"]
    assert row["backend"] == "onnx"
    assert row["calls"] == 1
    decode_s = row["seconds"].pop("decode")
    assert decode_s > 0
    assert row["total_s"] == pytest.approx(sum(row["seconds"].values()), abs=0.05)
    # Every stage of the way is there, or said not to be.
    assert {"upload", "prepare", "infer", "blend", "argmax", "inverse", "download"} <= {
        *row["seconds"],
        *row["missing"],
    }


def test_the_table_of_a_model_has_a_line_for_each_stage_there_or_not(wetread, tmp_path):
    infer = {"mode": "sliding_window", "patch": [4, 8, 8], "overlap": 0.5}
    write_package(tmp_path / "tiny", manifest(infer=infer), network(kind="threshold"))

    result = wetread(
        *("models", "bench", "tiny", "--models-dir", tmp_path, "--backend", "onnx"),
        *("--shape", 4, 8, 12, "--rounds", 1),
    )

    assert result.exit_code == 0, result.output
    stages = ["decode", "upload", "prepare", "infer", "blend", "activate", "inverse", "argmax"]
    lines = [line.split() for line in result.stdout.splitlines() if ", s " in line]
    shown = {line[1].removesuffix(","): line[-2] for line in lines}
    assert list(shown)[:9] == [*stages, "download"]
    assert [stage for stage, time in shown.items() if time == "–"] == ["upload", "download"]
    assert "onnx has no upload, download: nothing leaves the host." in result.stdout


def test_a_model_is_measured_on_the_files_of_a_series(wetread, tmp_path):
    write_package(tmp_path / "models" / "tiny", manifest(), network(kind="threshold"))
    write(ct_series(slices=5, rows=8, columns=6), tmp_path / "series")

    result = wetread(
        *("models", "bench", "tiny", "--models-dir", tmp_path / "models", "--backend", "onnx"),
        *("--input", tmp_path / "series", "--rounds", 1, "--json"),
    )

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["image"] == [5, 8, 6]
    assert report["backends"][0]["seconds"]["decode"] > 0


@pytest.mark.parametrize("name", ["cxr-lungs", "cxr-view"])
def test_no_network_is_faster_than_the_peak(wetread, name):
    command = ("models", "bench", name, "--models-dir", "models", "--backend", "onnx")
    result = wetread(*command, "--shape", 1, 64, 64, "--rounds", 2, "--json")

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    (row,) = report["backends"]
    assert 0 < row["share_of_peak"] <= 1
    assert row["gflops_per_core"] <= report["peak_gflops"]
    assert row["why_no_share"] is None


def test_a_model_that_is_not_there_cannot_be_measured(wetread, tmp_path):
    result = wetread("models", "bench", "none", "--models-dir", tmp_path)

    assert result.exit_code == 1
    assert "no model package none" in result.output


def test_the_demo_tells_what_a_report_says(tmp_path):
    source = make_source("ct", tmp_path)
    report = next(
        one.dataset
        for one in encode(lungs(source), source, make_context(source))
        if one.kind == "SR"
    )

    lines = list(statements(report))

    assert "Finding: Lung" in lines
    assert any(line.startswith("  Volume: ") for line in lines)
