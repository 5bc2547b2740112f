output "settings" {
  description = "Soulcaster's settings for this place, by variable: lines of its .env."
  value       = module.agent_spec.settings
}

output "repository_urls" {
  description = "Where images are pushed to, by what lies in them."
  value       = module.registry.urls
}

output "ci_role_arns" {
  description = "Roles of the workflows: the repository's variables AWS_PUSH_ROLE and AWS_PLAN_ROLE."
  value       = module.ci.role_arns
}

output "secret_arns" {
  description = "Where to put the secrets, by hand."
  value       = module.secrets.arns
}

output "launcher_policy_arn" {
  description = "What a machine needs that launches the agent from elsewhere."
  value       = module.agent_task.launcher_policy_arn
}

output "host" {
  description = "Public address and id of the machine; null when there is none."
  value       = one([for host in module.host : { address = host.address, instance_id = host.instance_id }])
}
