output "cluster_arn" {
  description = "The cluster."
  value       = aws_ecs_cluster.this.arn
}

output "launcher_policy_arn" {
  description = "The policy that the machine which runs Soulcaster needs."
  value       = aws_iam_policy.launcher.arn
}

output "task_definition_arn" {
  description = "The newest revision; null as long as no image is named."
  value       = one(aws_ecs_task_definition.agent[*].arn)
}

output "security_group_id" {
  description = "Security group of the agent's tasks."
  value       = aws_security_group.agent.id
}

output "gateway_security_group_ids" {
  description = "Security group of the gateway's own tasks; none where it runs beside the agent."
  value       = aws_security_group.gateway[*].id
}
