"""Which tests need more than the core and its light extras."""

from __future__ import annotations

# Files whose tests need TensorFlow, MLflow, Ray, dtlpy or schemathesis: `make test-floors-core` does not import them.
# Where only one test of a file does, that test has the mark `extras`, or skips itself without TensorFlow.
NEEDS_EXTRAS = (
    "test_cli",
    "test_contract",
    "test_dataloop_checkout",
    "test_dataloop_gateway",
    "test_dataloop_gateway_predict",
    "test_dataloop_gateway_train",
    "test_dataloop_host",
    "test_dataloop_manifest",
    "test_golden",
    "test_hosts_agree",
    "test_http_host_openapi",
    "test_loading",
    "test_mlflow_host",
    "test_movinet_adapter",
    "test_notebooks",
    "test_other_systems",
    "test_program_formats",
    "test_ray_host",
    "test_scan_ray",
    "test_stored",
    "test_tflite_file",
    "test_wheel",
)
