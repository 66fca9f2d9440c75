"""The lab around the adapters: what a person does with video models, as commands and as Python (``cliplab.api``)."""

__version__ = "0.2.0"
