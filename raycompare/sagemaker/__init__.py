"""Ray in a SageMaker training job, and endpoints."""
