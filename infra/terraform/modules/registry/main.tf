# One repository an image. A tag names one image for ever; ECR scans what is pushed.

resource "aws_ecr_repository" "this" {
  #checkov:skip=CKV_AWS_136:encrypted by AWS's own key; the images hold nothing secret
  for_each = var.repositories

  name                 = each.value
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name
  policy     = var.lifecycle_policy
}
