"""From labelled clips to a trained model: features, heads, fine-tuning, devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.training.backbone_features import ExampleFeatures as ExampleFeatures
    from adapters.training.backbone_features import example_features as example_features
    from adapters.training.calibration import clip_probabilities as clip_probabilities
    from adapters.training.clip_features import LabelledFeatures as LabelledFeatures
    from adapters.training.cross_validation import CrossValidated as CrossValidated
    from adapters.training.cross_validation import cross_validate_examples as cross_validate_examples
    from adapters.training.devices import GPU_ADVICE as GPU_ADVICE
    from adapters.training.devices import describe_devices as describe_devices
    from adapters.training.devices import describe_processor as describe_processor
    from adapters.training.fold_division import group_folds as group_folds
    from adapters.training.head import VARIABLE_PREFIX as VARIABLE_PREFIX
    from adapters.training.head import apply_head as apply_head
    from adapters.training.head import build_head as build_head
    from adapters.training.head import class_scores as class_scores
    from adapters.training.head import head_layers as head_layers
    from adapters.training.head import is_linear as is_linear
    from adapters.training.head import output_activation as output_activation
    from adapters.training.head import output_units as output_units
    from adapters.training.head_phase import only_solves as only_solves
    from adapters.training.labelled import evaluate_examples as evaluate_examples
    from adapters.training.out_of_fold import OutOfFold as OutOfFold
    from adapters.training.out_of_fold import out_of_fold_scores as out_of_fold_scores
    from adapters.training.out_of_fold import right_labels as right_labels
    from adapters.training.regression import solve as solve
    from adapters.training.run import train_model as train_model
    from adapters.training.solver_libraries import require_solver as require_solver
    from adapters.training.trainable import TunableBackbone as TunableBackbone
    from adapters.training.training_data import fitting_dataset as fitting_dataset
    from adapters.training.training_data import label_features as label_features
    from adapters.training.training_data import label_matrix as label_matrix
    from adapters.training.variables import assign as assign
    from adapters.training.variables import random_values as random_values
    from adapters.training.variables import random_variables as random_variables
    from adapters.training.variables import require_variables as require_variables
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "backbone_features": ("ExampleFeatures", "example_features"),
            "calibration": ("clip_probabilities",),
            "clip_features": ("LabelledFeatures",),
            "cross_validation": ("CrossValidated", "cross_validate_examples"),
            "devices": ("GPU_ADVICE", "describe_devices", "describe_processor"),
            "fold_division": ("group_folds",),
            "head": (
                "VARIABLE_PREFIX",
                "apply_head",
                "build_head",
                "class_scores",
                "head_layers",
                "is_linear",
                "output_activation",
                "output_units",
            ),
            "head_phase": ("only_solves",),
            "labelled": ("evaluate_examples",),
            "out_of_fold": ("OutOfFold", "out_of_fold_scores", "right_labels"),
            "regression": ("solve",),
            "run": ("train_model",),
            "solver_libraries": ("require_solver",),
            "trainable": ("TunableBackbone",),
            "training_data": ("fitting_dataset", "label_features", "label_matrix"),
            "variables": ("assign", "random_values", "random_variables", "require_variables"),
        },
    )
