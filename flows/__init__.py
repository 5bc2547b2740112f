"""One Prefect flow per file: parameters, order of calls, artifacts. File, flow and deployment share one name."""
