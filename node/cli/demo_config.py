"""The configuration that ``wetread demo`` shows and uses."""

from __future__ import annotations

from pathlib import Path

TEMPLATE = """\
data_dir: {data_dir}
receive:
  ae_title: WETREAD
  host: 127.0.0.1
  port: {node_port}
  quiet_period_s: 2
  journal_bytes: 67108864
  accept_from: [{{ae_title: DEMOPACS, host: 127.0.0.1}}]
destinations:
  pacs: {{ae_title: DEMOPACS, host: 127.0.0.1, port: {pacs_port}}}
models_dir: {models_dir}
rules:
  - name: chest radiograph
    when: {{Modality: [CR, DX]}}
    run: [cxr-view, cxr-lungs]
    send_to: [pacs]
  - name: chest CT
    when: {{Modality: CT, slices: {{min: 20}}}}
    run: [ct-lungs]
    send_to: [pacs]
web: {{port: {web_port}}}
log: {{level: info, format: json}}
"""


def demo_configuration(
    data_dir: Path, models_dir: Path, *, node_port: int, pacs_port: int, web_port: int
) -> str:
    """Fill the template in."""
    return TEMPLATE.format(
        data_dir=data_dir,
        models_dir=models_dir,
        node_port=node_port,
        pacs_port=pacs_port,
        web_port=web_port,
    )
