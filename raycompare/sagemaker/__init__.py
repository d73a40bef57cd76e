"""Ray in a SageMaker training job, and endpoints for the winner."""
