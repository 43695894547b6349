"""Every error the engines raise on purpose.

EngineError
├── PackageError            a model package is wrong; the message names file, key and problem
├── BackendUnavailable      the backend cannot run here; the message says what to install
├── BackendAway             the server that runs the models does not answer; it may come back
├── InputError              the images do not fit the model (dimension, empty, not finite)
├── NotApplicable           the package's gate says that the image is not for this model
└── InferenceError          the model itself failed
    ├── Timeout             the run took longer than the package's runtime.timeout_s
    ├── NotFinite           an output has NaN or infinity; a higher precision may do
    ├── OutOfMemory         the device has no room; a smaller batch or another device may do
    ├── NotOnDevice         the device does not do this part of the work; the host does
    └── DeviceLost          the device's context is broken; only a new process can use it again
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of all errors the engines raise on purpose."""


class PackageError(EngineError):
    """A model package is wrong; the message names file, key and problem."""


class BackendUnavailable(EngineError):  # noqa: N818 - a state, not a mistake
    """The backend cannot run on this machine; the message says what to install."""


class BackendAway(EngineError):  # noqa: N818 - a state, not a mistake
    """The server that runs the models does not answer, or not in time; it may come back."""


class InputError(EngineError):
    """The images do not fit the model; the same images will never fit."""


class NotApplicable(EngineError):  # noqa: N818 - a decision, not a mistake
    """The package's gate says that the image is not one for this model; the message says why."""


class InferenceError(EngineError):
    """The model failed on valid input."""


class Timeout(InferenceError):  # noqa: N818 - the field's word
    """The run took longer than the package's ``runtime.timeout_s``, and was given up."""


class NotFinite(InferenceError):  # noqa: N818 - a state, not a mistake
    """An output has NaN or infinity; in a higher precision it may not.

    Parameters
    ----------
    message
        Which output.
    precision
        What it was computed in.
    """

    def __init__(self, message: str, precision: str = "fp32") -> None:
        super().__init__(message)
        self.precision = precision


class OutOfMemory(InferenceError):  # noqa: N818 - the field's word
    """The device has no room for this input."""


class NotOnDevice(InferenceError):  # noqa: N818 - a state, not a mistake
    """A volume cannot be swept on the device; its network may still run there, window by window."""


class DeviceLost(InferenceError):  # noqa: N818 - the field's word
    """The device's context is broken; nothing in this process can use the device again."""
