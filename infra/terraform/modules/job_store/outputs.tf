output "bucket" {
  description = "Name of the bucket, once it stands as it should."
  value       = aws_s3_bucket_policy.jobs.bucket
}
