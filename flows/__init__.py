"""One Prefect flow per file: parameters, order of calls, artifacts. A file, its flow and its deployment share one name."""
