output "role_arns" {
  description = "Roles that the workflows take, by what they do; set them as variables of the repository."
  value       = { push = aws_iam_role.push.arn, plan = aws_iam_role.plan.arn }
}
