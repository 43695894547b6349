"""The backend: which plan belongs to a package on this GPU, and what to do without one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from engines.api import Progress, Session
from engines.backends.tensorrt import profiles
from engines.backends.tensorrt.builder import BuildOptions, Names, capture, complaints
from engines.backends.tensorrt.cache import PlanCache, Recipe, default_folder
from engines.backends.tensorrt.driver import Gpu
from engines.backends.tensorrt.flavour import Flavour
from engines.backends.tensorrt.machine import INSTALLED, Machine
from engines.backends.tensorrt.plans import Made, Order, make, operators_kept
from engines.backends.tensorrt.session import Loaded, TensorRTSession
from engines.errors import BackendUnavailable, EngineError, PackageError
from engines.package import Package
from engines.types import FloatArray

_DEVICE = re.compile(r"cuda(?::(\d+))?")


class TensorRTBackend:
    """TensorRT on an NVIDIA GPU, ``tensorrt`` or ``tensorrt_rtx``.

    Devices are ``"cuda"``, which is ``"cuda:0"``, and ``"cuda:N"``.

    Parameters
    ----------
    threads
        Not used: the work is the GPU's.
    machine
        What it stands on; by default what is installed.
    folder
        Where plans are kept; `engines.backends.tensorrt.cache.default_folder` by default.
    """

    name = "tensorrt"
    default_device = "cuda"
    labels_on_device = True

    def __init__(
        self,
        *,
        threads: int | None = None,
        machine: Machine | None = None,
        folder: Path | None = None,
    ) -> None:
        self._machine = machine or INSTALLED
        self._cache = PlanCache(folder or default_folder())

    def missing(self) -> str | None:
        """Say why there is no TensorRT or no GPU here, in one sentence, or None."""
        try:
            self._machine.flavour()
            # Before a Runtime is made: without a driver some of TensorRT's end the process.
            self._machine.gpu(0)
        except BackendUnavailable as error:
            return str(error)
        return self._machine.missing()

    def load(
        self,
        package: Package,
        *,
        device: str,
        precision: str | None = None,
        build_missing: bool = False,
    ) -> Session:
        """Load a plan of a package.

        Parameters
        ----------
        package
            Whose model.
        device
            ``"cuda"`` or ``"cuda:N"``.
        precision
            Of the plan; by default the manifest's ``model.precision.default``, and fp32 where
            there is no such plan.
        build_missing
            Whether to build a plan where there is none, which can take minutes: at start-up,
            never for a study.

        Raises
        ------
        BackendUnavailable
            If there is no TensorRT, no such GPU, or no plan that loads.
        PackageError
            If the model file is not the one the manifest names or cannot be built.
        OutOfMemory
            If the GPU has no room for the plan.
        """
        index = _index(device)
        package.read_model()
        # All that touches the GPU is done in one thread; see `TensorRTSession`.
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"tensorrt-{package.name}")
        try:
            return thread.submit(
                self._open, package, index, precision, build_missing, thread
            ).result()
        except BaseException:  # whatever it was: no session owns the thread yet
            thread.shutdown()
            raise

    def _open(
        self,
        package: Package,
        index: int,
        precision: str | None,
        build_missing: bool,
        thread: ThreadPoolExecutor,
    ) -> Session:
        """Load a plan in the thread that is to run it."""
        kind, gpu = self._machine.flavour(), self._machine.gpu(index)
        api = self._machine.device(index)
        try:
            loaded = self._find(kind, package, gpu, precision)
            if loaded is None and build_missing:
                order = Order(precision or package.manifest.model.precision.default)
                self.build(package, order, device=f"cuda:{index}")
                loaded = self._find(kind, package, gpu, order.precision)
            if loaded is not None:
                graphs = package.manifest.runtime.cuda_graph
                names = _names(package)
                return TensorRTSession(kind, loaded, api, names, thread, graphs=graphs)
        except BaseException:  # the same of the device
            api.close()
            raise
        api.close()
        raise BackendUnavailable(
            f"{package.name} has no {precision or 'TensorRT'} plan for {gpu.name} and "
            f"{kind.name} {kind.version}; run `wetread models build {package.name}`"
        )

    def build(
        self, package: Package, order: Order, *, device: str, progress: Progress | None = None
    ) -> Path | None:
        """Build a plan and keep it, unless there is a good one.

        Parameters
        ----------
        package
            Whose model.
        order
            What to build.
        device
            The GPU it is for; it must be in this machine.
        progress
            Told of every step of the build.

        Returns
        -------
        Path or None
            The plan; None if there was a good one already.

        Raises
        ------
        BackendUnavailable
            If there is no TensorRT or no such GPU, or what makes the variant is not installed.
        PackageError
            If the manifest does not allow the precision, the graph cannot be built, the variant
            does not pass its parity gate, or the plan does not load.
        """
        _check_allowed(package, order.precision)
        kind, gpu = self._machine.flavour(), self._machine.gpu(_index(device))
        recipe = replace(
            _recipe(kind, package, gpu, order.precision),
            options=order.options,
            calibration=_digest(order.calibration) if order.precision == "int8" else "",
        )
        api = self._machine.device(_index(device))
        try:
            with self._cache.lock(recipe):
                if self._loads(kind, recipe) is not None:
                    return None
                made = make(kind, package, order, progress)
                log = capture(kind.api)
                if _deserialize(kind, made.built.plan, log) is None:
                    raise PackageError(
                        f"{package.name}: the plan does not load: {complaints(log.lines)}"
                    )
                notes = {
                    "package": f"{package.name}@{package.version}",
                    "profile": str(made.built.profile),
                    "parity": vars(made.parity) if made.parity else None,
                }
                return self._cache.write(recipe, made.built.plan, notes)
        finally:
            api.close()

    def make_ready(self, package: Package, *, device: str, progress: Progress) -> Iterator[str]:
        """Build the plans that a package's studies may need and that are not there: at start-up.

        They are fp32 and the precision the manifest prefers. A plan that does not load is set
        aside and built again; one of other options serves as well.

        Yields
        ------
        str
            Why a plan could not be built; the others are.
        """
        for precision in dict.fromkeys(("fp32", package.manifest.model.precision.default)):

            def tell(phase: str, done: int, steps: int, of: str = precision) -> None:
                progress(f"{of}: {phase}", done, steps)

            try:
                if not self._has(package, precision, device):
                    tell("begins", 0, 1)
                    self.build(package, Order(precision), device=device, progress=tell)
            except (EngineError, OSError) as error:
                yield f"{precision}: {error}"

    def check(self, package: Package, order: Order, progress: Progress | None = None) -> Made:
        """Build a plan and keep nothing: that takes no GPU where the builder takes none.

        Raises
        ------
        BackendUnavailable
            If there is no TensorRT, or what makes the variant is not installed.
        PackageError
            If the graph cannot be built or the variant does not pass its parity gate.
        """
        _check_allowed(package, order.precision)
        return make(self._machine.flavour(), package, order, progress)

    def _has(self, package: Package, precision: str, device: str) -> bool:
        """Whether there is a plan that loads."""
        index = _index(device)
        kind, gpu = self._machine.flavour(), self._machine.gpu(index)
        api = self._machine.device(index)
        try:
            return self._find(kind, package, gpu, precision) is not None
        finally:
            api.close()

    def _find(
        self, kind: Flavour, package: Package, gpu: Gpu, precision: str | None
    ) -> Loaded | None:
        """Load the newest plan of a precision, or of the one the manifest prefers."""
        default = package.manifest.model.precision.default
        for each in (precision,) if precision else dict.fromkeys((default, "fp32")):
            for recipe in self._cache.alike(_recipe(kind, package, gpu, each)):
                if loaded := self._loads(kind, recipe):
                    return replace(loaded, precision=each)
        return None

    def _loads(self, kind: Flavour, recipe: Recipe) -> Loaded | None:
        """Load a kept plan; one that does not load is set aside."""
        plan = self._cache.read(recipe)
        if plan is None:
            return None
        log = capture(kind.api)
        loaded = _deserialize(kind, plan, log)
        if loaded is None:
            self._cache.set_aside(recipe, f"it does not load: {complaints(log.lines)}")
        return loaded


def _deserialize(kind: Flavour, plan: bytes, log: Any) -> Loaded | None:
    runtime = kind.api.Runtime(log)
    engine = runtime.deserialize_cuda_engine(plan)
    return None if engine is None else Loaded(engine, runtime, log)


def _digest(arrays: Sequence[FloatArray]) -> str:
    """Hash calibration inputs; empty where there are none."""
    if not arrays:
        return ""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode() + array.tobytes())
    return digest.hexdigest()


def _recipe(kind: Flavour, package: Package, gpu: Gpu, precision: str) -> Recipe:
    return Recipe(
        onnx_sha256=package.manifest.model.sha256,
        flavour=kind.name,
        version=kind.version,
        gpu=gpu,
        precision=precision,
        keep=() if precision == "fp32" else operators_kept(package),
        profiles=profiles.wanted(package),
        options=BuildOptions(),
    )


def _check_allowed(package: Package, precision: str) -> None:
    allowed = package.manifest.model.precision.allowed
    if precision not in ("fp32", *allowed):
        raise PackageError(
            f"{package.name}: {precision} is refused: the manifest allows {', '.join(allowed)} "
            "(model.precision.allowed)"
        )


def _names(package: Package) -> Names:
    model = package.manifest.model
    return Names(model.inputs[0].name, model.outputs[0].name)


def _index(device: str) -> int:
    """Take the number out of ``cuda:N``."""
    if (match := _DEVICE.fullmatch(device)) is None:
        raise BackendUnavailable(
            f"backend 'tensorrt' runs on device 'cuda' or 'cuda:N', not {device!r}"
        )
    return int(match[1] or 0)


__all__ = ["TensorRTBackend"]
