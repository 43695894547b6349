"""Every mistake of a configuration file is told at once, at its line, in plain words."""

from __future__ import annotations

import pytest

from node.config.load import check_file, config_digest, load_config
from node.config.problem import Severity
from node.errors import ConfigError

GOOD = """\
models_dir: models
receive:
  accept_from: [{ae_title: MAINPACS, host: 10.0.0.5}]
destinations:
  pacs: {ae_title: MAINPACS, host: 10.0.0.5}
rules:
  - name: CT chest
    when: {Modality: CT}
    run: [ct-lungs]
    send_to: [pacs]
"""


@pytest.fixture
def said(tmp_path):
    """Write a file beside one model package and return what is said about it."""
    (tmp_path / "models" / "ct-lungs").mkdir(parents=True)

    def check(text: str | bytes) -> list[str]:
        path = tmp_path / "w.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return [problem.render("w.yaml") for problem in check_file(path)[1]]

    return check


def when(condition: str) -> str:
    return GOOD.replace("{Modality: CT}", condition)


def test_a_good_file_gives_no_problem(said):
    assert said(GOOD) == []


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path, said, monkeypatch):
    monkeypatch.chdir("/")
    ca = tmp_path / "tls" / "ca.pem"
    tls = f"  tls: {{certificate: tls/a.pem, key: tls/b.pem, ca: {ca}}}\n"
    (tmp_path / "tls").mkdir()
    for name in ("a.pem", "b.pem", "ca.pem"):
        (tmp_path / "tls" / name).touch()
    said("data_dir: data\n" + GOOD.replace("receive:\n", "receive:\n" + tls))

    config = load_config(tmp_path / "w.yaml")

    assert config.data_dir == tmp_path / "data"
    assert config.models_dir == tmp_path / "models"
    assert config.receive.tls is not None
    assert config.receive.tls.certificate == tmp_path / "tls/a.pem"
    assert config.receive.tls.ca == ca


def test_all_mistakes_are_told_at_once(said):
    text = """\
receive:
  ae_title: 007
  prot: 11112
  quiet_period_s: -1
destinations:
  pacs: {ae_title: MAINPACS, port: 70000, profile: ful}
rules:
  - name: a
    when: {Modality: CT}
    run: cxr-lungs
    send_to: [pcs]
web: [1]
"""
    assert said("models_dir: models\n" + text) == [
        "w.yaml:2: note: receive.accept_from: "
        "no peer is listed: the node accepts studies from nobody",
        'w.yaml:3: receive.ae_title: expected text; put it in quotes: "007"',
        "w.yaml:4: receive.prot: unknown key; did you mean 'port'?",
        "w.yaml:5: receive.quiet_period_s: expected more than 0; found -1",
        "w.yaml:7: destinations.pacs.host: missing; this key is required",
        "w.yaml:7: destinations.pacs.port: expected at most 65535; found 70000",
        "w.yaml:7: destinations.pacs.profile: no profile 'ful'; did you mean 'full'?",
        "w.yaml:11: rules[0].run: expected a list; write [cxr-lungs]",
        "w.yaml:12: rules[0].send_to[0]: no destination 'pcs'; did you mean 'pacs'?",
        "w.yaml:13: web: expected keys with values (key: value); found a list",
    ]


def test_load_config_raises_all_errors_and_no_notes(tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text("rules: []\ndestinations: {}\n")

    with pytest.raises(ConfigError) as caught:
        load_config(path)

    assert str(caught.value) == (
        f"{path}:1: rules: empty; at least one entry\n"
        f"{path}:2: destinations: empty; at least one entry"
    )


def test_a_missing_file_is_a_problem_without_a_line(tmp_path):
    config, problems = check_file(tmp_path / "none.yaml")

    assert config is None
    assert [p.render("none.yaml") for p in problems] == [
        "none.yaml: cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "w.yaml:1: the file is empty; destinations and rules are required"),
        ("# only a comment\n", "w.yaml:1: the file is empty; destinations and rules are required"),
        (
            "- a\n",
            "w.yaml:1: expected keys with values at the top of the file, such as 'rules:'",
        ),
        ("web:\n\tport: 1\n", "w.yaml:2: not YAML: a tab; indent with spaces"),
        ("a: [1, 2\nb: 3\n", "w.yaml:2: not YAML: did not find expected ',' or ']'"),
        ("a: *nowhere\n", "w.yaml:1: not YAML: found undefined alias 'nowhere'"),
        (b"a: caf\xe9\n", "w.yaml:1: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (b"a: 1\nb: \x07\n", "w.yaml:2: character U+0007 is not allowed in YAML"),
        ('a: "\\UFFFFFFFF"', "w.yaml: an escape that is no character"),
        ("a: 1\n---\nb: 1\n", "w.yaml:2: not one YAML document: a second one starts here;"),
        ("[" * 5000, "w.yaml:1: nested too deeply for a configuration file"),
        ("a: " + "x" * 1_000_001, "w.yaml: 1000004 bytes; no configuration file is longer than"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_problem_with_its_line(said, text, expected):
    problems = said(text)

    assert len(problems) == 1
    if "did not find" in expected:  # PyYAML's own words for it differ between releases
        assert problems[0].startswith("w.yaml:2: not YAML: ")
    else:
        assert problems[0].startswith(expected)


def test_a_duplicate_key_names_the_line_of_the_first(said):
    assert said(GOOD + "models_dir: other\n") == [
        "w.yaml:11: models_dir: given twice; first in line 1"
    ]


def test_a_yaml_tag_is_told_and_never_carried_out(said):
    problems = said(GOOD + "log: {level: !!python/name:os.system info}\n")

    assert problems == [
        "w.yaml:11: log.level: the tag !!python/name:os.system is not used here; leave it out"
    ]


def test_a_key_that_is_no_text_is_told(said):
    assert said(GOOD + "? [1]\n: 2\n") == ["w.yaml:11: a key must be text, not a list or a mapping"]


def test_anchors_aliases_and_merge_keys_work(tmp_path, said):
    text = GOOD.replace("pacs: {", "pacs: &pacs {").replace(
        "rules:", "  copy: {<<: *pacs, port: 4242}\nrules:"
    )

    assert said(text) == []
    copy = load_config(tmp_path / "w.yaml").destinations["copy"]
    assert (copy.ae_title, copy.port) == ("MAINPACS", 4242)


def test_an_alias_bomb_is_told_and_costs_nothing(said):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]

    assert [p.split(": ", 1)[1] for p in said("\n".join(lines))] == [
        "more than 20000 values after the aliases are filled in"
    ]


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "a: &a {b: *a}\n", "a: &a {<<: *a}\n"])
def test_an_alias_of_itself_is_told(said, text):
    ends = ("an alias that contains itself", "nested too deeply for a configuration file")

    assert any(problem.endswith(ends) for problem in said(text))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("data_dir: ~/x", "data_dir: '~' is not filled in; write the whole path"),
        ('data_dir: ""', "data_dir: empty; expected a path"),
        ("data_dir: 5", 'data_dir: expected text; put it in quotes: "5"'),
        ("work:", "work: has no value; expected keys with values (key: value), or leave the key"),
        ("work: {studies_at_once: true}", "work.studies_at_once: expected a number, found true"),
        ("work: {studies_at_once: two}", "work.studies_at_once: expected a whole number; found 't"),
        ("work: {studies_at_once: 1.5}", "work.studies_at_once: expected a whole number; found 1."),
        ("web: {port: .inf}", "web.port: not a number that can be used: .inf"),
        ("web: {port: " + "9" * 5000 + "}", "web.port: not a number that can be used: 9999"),
        ("results: {prefix: ABCDEFGHIJKLMNOPQ}", "results.prefix: at most 16 characters; found 17"),
        ('results: {prefix: ""}', "results.prefix: empty; at least one character"),
        ("log: {level: yes}", "log.level: expected debug, info, warning or error; found 'yes'"),
        ("work: {backend: a b}", "work.backend[0]: expected the name of a backend, such"),
        ("database: mysql://u:secret@h/n", "database: expected sqlite or postgresql+psycopg://"),
        ("database: [1]", "database: expected text; found a list"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(said, line, expected):
    problems = said(f"{GOOD}{line}\n")

    assert len(problems) == 1
    assert problems[0].startswith(f"w.yaml:11: {expected}")
    assert "secret" not in problems[0]


def test_an_ae_title_with_a_backslash_is_told(said):
    problems = said(GOOD.replace("pacs: {ae_title: MAINPACS", r"pacs: {ae_title: MAIN\PACS"))

    assert problems == [
        "w.yaml:5: destinations.pacs.ae_title: expected an AE title: printable ASCII without a "
        r"backslash, no space at either end; found 'MAIN\PACS'"
    ]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (
            "{BodyPartExamind: CHEST}",
            "BodyPartExamind: 'BodyPartExamind' is neither a DICOM keyword nor one of "
            "series_instances, slices, spacing_mm; did you mean 'BodyPartExamined'?",
        ),
        (
            "{PatientName: X}",
            "PatientName: PatientName is a DICOM keyword, but not one the node keeps for rules",
        ),
        ("{slices: {mim: 3}}", "slices.mim: unknown key; did you mean 'min'?"),
        ("{slices: {min: x}}", "slices.min: expected a number; found 'x'"),
        ("{slices: {min: 5, max: 3}}", "slices: min (5) is greater than max (3)"),
        (
            "{slices: {}}",
            "slices: an empty condition; expected one of not, contains, matches, min, max, present",
        ),
        ("{slices: []}", "slices: empty; at least one entry"),
        ("{Modality: {not: }}", "Modality: not has no value"),
        (
            "{Modality: [CT, true]}",
            "Modality[1]: expected text or a number; put true in quotes, or write {present: true}",
        ),
        ("{Modality: [CT, [MR]]}", "Modality[1]: expected text or a number"),
        ("{Modality: }", "Modality: expected text or a number"),
        ("{Modality: {present: 5}}", "Modality.present: expected true or false; found 5"),
        (
            "{Modality: {matches: '('}}",
            "Modality: matches: not a regular expression: missing ), unterminated subpattern at "
            "position 0",
        ),
    ],
)
def test_a_wrong_condition_is_one_problem_without_the_names_of_our_types(said, condition, expected):
    assert said(when(condition)) == [f"w.yaml:8: rules[0].when.{expected}"]


def test_the_dicom_code_strings_no_and_yes_are_text(tmp_path, said):
    said(when("{BurnedInAnnotation: NO}"))

    assert load_config(tmp_path / "w.yaml").rules[0].when == {"BurnedInAnnotation": "NO"}


def test_two_rules_of_one_name_are_told(said):
    rule = GOOD[GOOD.index("  - name") :]

    assert said(GOOD + rule) == [
        "w.yaml:11: rules[1].name: two rules have the name 'CT chest' (rules[0] is the other)"
    ]


def test_a_peer_that_is_listed_twice_is_told(said):
    peer = "{ae_title: MAINPACS, host: 10.0.0.5}"

    assert said(GOOD.replace(f"[{peer}]", f"[{peer}, {peer}]")) == [
        "w.yaml:3: receive.accept_from[1]: 'MAINPACS' from 10.0.0.5 is listed twice"
    ]


def test_a_certificate_name_without_tls_is_a_mistake(said):
    assert said(GOOD.replace("host: 10.0.0.5}", "certificate_name: pacs.example}", 1)) == [
        "w.yaml:3: receive.accept_from[0].certificate_name: "
        "peers show certificates only with receive.tls, which is left out"
    ]


def test_a_peer_that_may_open_more_associations_than_all_together_is_noted(said):
    text = GOOD.replace("host: 10.0.0.5}", "max_associations: 21}", 1)

    assert said(text) == [
        "w.yaml:3: note: receive.accept_from[0].max_associations: "
        "21 is more than receive.max_associations (20), which holds for all"
    ]
    assert said(text.replace("21}", "20}")) == []


def test_more_receivers_than_associations_are_noted(said):
    limits = "receive:\n  processes: 4\n  max_associations: 3\n"

    assert said(GOOD.replace("receive:\n", limits)) == [
        "w.yaml:3: note: receive.processes: "
        "4 processes for 3 associations: some will never have one"
    ]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.9", '"::1"', '"::"'])
def test_a_destination_that_is_the_node_itself_is_told(said, host):
    own = f"pacs: {{ae_title: WETREAD, port: 11112, host: {host}}}"

    assert said(GOOD.replace("pacs: {ae_title: MAINPACS, host: 10.0.0.5}", own)) == [
        "w.yaml:5: destinations.pacs: "
        "this is the node itself: its results would come back as new studies"
    ]


def test_another_program_on_the_same_host_may_be_a_destination(said):
    other = "pacs: {ae_title: ORTHANC, port: 4242, host: localhost}"

    assert said(GOOD.replace("pacs: {ae_title: MAINPACS, host: 10.0.0.5}", other)) == []


def test_a_model_without_a_folder_is_told(said):
    assert said(GOOD.replace("run: [ct-lungs]", "run: [ct-lung]"))[0].endswith(
        "models; did you mean 'ct-lungs'?"
    )


def test_missing_tls_files_are_told_beside_other_mistakes(tmp_path, said):
    tls = "  tls: {certificate: a.pem, key: b.pem}\n"

    assert said(GOOD.replace("receive:\n", "receive:\n" + tls)) == [
        "w.yaml:3: receive.tls.ca: missing; this key is required",
        f"w.yaml:3: receive.tls.certificate: no such file: {tmp_path}/a.pem",
        f"w.yaml:3: receive.tls.key: no such file: {tmp_path}/b.pem",
    ]


def test_notes_do_not_keep_a_file_from_being_used(tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text(
        GOOD.replace(
            "host: 10.0.0.5}\n",
            "host: 10.0.0.5, proof: storage_commitment, calling_ae_title: OUT}\n",
        )
        + "web: {host: 0.0.0.0}\n"
    )

    config, problems = check_file(path)

    assert config is not None
    assert {p.severity for p in problems} == {Severity.NOTE}
    assert [p.render("w.yaml") for p in problems] == [
        f"w.yaml:1: note: models_dir: {tmp_path}/models does not exist: no model can run",
        "w.yaml:5: note: destinations.pacs.proof: the archive will report to the calling AE title "
        "used here, and receive.ae_title is another one",
        "w.yaml:11: note: web.host: "
        "0.0.0.0 can be reached from other machines, and the page has no login",
    ]


def test_the_digest_is_that_of_the_meaning_not_of_the_text(tmp_path):
    def digest(text: str) -> str:
        path = tmp_path / "w.yaml"
        path.write_text(text)
        return config_digest(load_config(path))

    url = "database: postgresql+psycopg://node:{}@db/wetread\n"
    assert digest(GOOD) == digest("# a comment\n" + GOOD)
    assert digest(GOOD) != digest(GOOD.replace("Modality: CT", "Modality: MR"))
    assert digest(GOOD + url.format("one")) == digest(GOOD + url.format("two"))
    assert len(digest(GOOD)) == 64


def destinations(*lines):
    """A good file with these destinations and what is below them."""
    start, _, rest = GOOD.partition("  pacs: {ae_title: MAINPACS, host: 10.0.0.5}\n")
    return start + "".join(f"  {line}\n" for line in lines) + rest


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            "pacs: {kind: dicomwed, url: 'https://a/dicom-web'}",
            "destinations.pacs: expected kind: dimse or dicomweb; found 'dicomwed'",
        ),
        (
            "pacs: {kind: dicomweb, url: 'ftp://a'}",
            "destinations.pacs.url: expected http:// or https:// with a host, no user, no '?' and "
            "no '#'; found 'ftp://a'",
        ),
        (
            "pacs: {kind: dicomweb, url: 'https://a', user: me}",
            "destinations.pacs: user and password_file go together; one of them is missing",
        ),
        (
            "pacs: {kind: dicomweb, url: 'https://a', proof: storage_commitment}",
            "destinations.pacs.proof: expected query or none; found 'storage_commitment'",
        ),
        (
            "pacs: {ae_title: P, host: h, storage_commitment: true}",
            "destinations.pacs.storage_commitment: is `proof` now: write `proof: "
            "storage_commitment`, or leave it out",
        ),
        (
            "pacs: {ae_title: P, host: h, profile: oihf}",
            "destinations.pacs.profile: no profile 'oihf'; did you mean 'ohif'?",
        ),
        (
            "pacs: {ae_title: P, host: h, tls: {ca: absent.pem}}",
            "destinations.pacs.tls.ca: no such file: ",
        ),
    ],
)
def test_a_mistake_in_a_destination_of_any_kind_has_its_place(said, line, found):
    assert any(found in one for one in said(destinations(line)))


def test_a_profile_of_ones_own_cannot_have_the_name_of_a_built_in_one(said):
    text = GOOD + "profiles:\n  ohif: {sc: [SC]}\n"

    assert said(text) == [
        "w.yaml:12: profiles.ohif: is the name of a built-in profile; choose another"
    ]


def test_a_password_that_goes_in_the_clear_is_worth_a_note(tmp_path):
    (tmp_path / "secret").write_text("x")
    path = tmp_path / "w.yaml"
    line = "pacs: {kind: dicomweb, url: 'http://a', user: me, password_file: secret}"
    path.write_text(destinations(line))

    config, problems = check_file(path)

    assert config is not None
    assert config.destinations["pacs"].password_file == tmp_path / "secret"
    assert any("is sent in the clear" in p.message for p in problems)
