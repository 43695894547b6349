"""A CT study through the node, with a package of a given task on a given backend.

``python -m tests.plugin.process FOLDER BACKEND TASK`` prints JSON about what came of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engines import registry
from node.log import configure_logging
from node.store.files import result_folder
from node.work.product import load_product
from tests.builders import ct_series
from tests.engines.builders import manifest, network, write_package
from tests.work.by_hand import CT_RULE, ByHand


def main(folder: Path, backend: str, task: str) -> None:
    """Process one study and print what there is to say."""
    configure_logging("warning", "json")
    package = {"metadata__name": "plugged", "output__dicom": ["SC"]}
    if task == "segment":
        content, model = manifest(**package), network(kind="threshold")
    else:
        raw = {"name": "logits", "kind": "probabilities", "channels": 1}
        postprocess = {"activation": "none"}
        content = manifest(task=task, model__outputs=[raw], postprocess=postprocess, **package)
        model = network(kind="identity")
    write_package(folder / "models" / "plugged", content, model)
    rule = {**CT_RULE, "run": ["plugged"]}
    node = ByHand(folder, rules=[rule], work={"backend": backend})
    uid = node.complete(ct_series())
    destinations = node.make(uid)
    loaded = None
    product = node.files.path(f"{result_folder(uid, 1, 0)}/result.npz")
    if product.exists():
        result, provenance = load_product(product)
        loaded = {"type": type(result).__name__, "backend": provenance.backend}
    answer = {
        "availability": dict(registry.availability()),
        "destinations": destinations,
        "problems": node.problems(uid),
        "not_run": node.plan(uid).not_run,
        "product": loaded,
        "objects": [ds.to_json_dict() for ds in node.datasets(uid).values()],
    }
    node.close()
    sys.stdout.write(f"{json.dumps(answer)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
