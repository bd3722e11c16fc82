"""The API of SageMaker and of the services beside it, on this machine."""
