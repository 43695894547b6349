"""Every error the engines raise on purpose.

EngineError
├── PackageError            a model package is wrong; the message names file, key and problem
├── BackendUnavailable      the backend cannot run here; the message says what to install
├── InputError              the images do not fit the model (dimension, empty, not finite)
├── NotApplicable           the package's gate says that the image is not for this model
└── InferenceError          the model itself failed
    └── OutOfMemory         the device has no room; a smaller batch or another device may do
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of all errors the engines raise on purpose."""


class PackageError(EngineError):
    """A model package is wrong; the message names file, key and problem."""


class BackendUnavailable(EngineError):  # noqa: N818 - a state, not a mistake
    """The backend cannot run on this machine; the message says what to install."""


class InputError(EngineError):
    """The images do not fit the model; the same images will never fit."""


class NotApplicable(EngineError):  # noqa: N818 - a decision, not a mistake
    """The package's gate says that the image is not one for this model; the message says why."""


class InferenceError(EngineError):
    """The model failed on valid input."""


class OutOfMemory(InferenceError):  # noqa: N818 - the field's word
    """The device has no room for this input."""
