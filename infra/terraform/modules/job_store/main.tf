# The bucket of job folders: code of your repositories lies there while a job runs. Private, over TLS only, gone after a month.

resource "aws_s3_bucket" "jobs" {
  #checkov:skip=CKV_AWS_144:job folders live for hours and can be made again; a second region would hold your code for nothing
  #checkov:skip=CKV_AWS_145:encrypted by S3's own key; presigned addresses need no right to a key then
  #checkov:skip=CKV_AWS_18:access is by addresses of one file each, which CloudTrail's data events can record where that is wanted
  #checkov:skip=CKV_AWS_21:what a job handed over is sealed by hash; older versions would keep code longer than asked for
  #checkov:skip=CKV2_AWS_62:the launcher looks by itself, nothing waits for events
  bucket = var.bucket
}

resource "aws_s3_bucket_public_access_block" "jobs" {
  bucket                  = aws_s3_bucket.jobs.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "jobs" {
  bucket = aws_s3_bucket.jobs.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "jobs" {
  bucket = aws_s3_bucket.jobs.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "jobs" {
  bucket = aws_s3_bucket.jobs.id

  rule {
    id     = "expire"
    status = "Enabled"

    filter {}

    expiration {
      days = var.days_kept
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_policy" "jobs" {
  bucket     = aws_s3_bucket.jobs.id
  policy     = var.policy
  depends_on = [aws_s3_bucket_public_access_block.jobs]
}
