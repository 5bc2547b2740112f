output "urls" {
  description = "Addresses that images are pushed to, by what lies in them."
  value       = { for key, repository in aws_ecr_repository.this : key => repository.repository_url }
}

output "arns" {
  description = "ARNs of the repositories, by what lies in them."
  value       = { for key, repository in aws_ecr_repository.this : key => repository.arn }
}
