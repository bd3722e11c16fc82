"""What clients speak: SageMaker's invocations, the Open Inference Protocol, OpenAPI."""
