output "names" {
  description = "Names of everything that is made, by what it is."
  value = {
    family         = local.family
    gateway_family = local.gateway_family
    cluster        = local.cluster
    log_group      = local.log_group
    execution_role = local.execution_role
    bucket         = local.bucket
    repositories   = local.repositories
  }
}

output "container_definitions" {
  description = "JSON for the agent's task definition; null as long as no image is named."
  value       = var.agent_image == null ? null : jsonencode(local.container_definitions.agent)
}

output "gateway_container_definitions" {
  description = "JSON for the gateway's own task definition; null where it runs beside the agent, and without an image."
  value       = var.agent_image == null || !local.is_apart ? null : jsonencode(local.container_definitions.gateway)
}

output "size" {
  description = "CPU units and MiB of the agent's task, as ECS writes them."
  value       = { cpu = tostring(var.cpu_units), memory = tostring(var.memory_mib) }
}

output "gateway_size" {
  description = "CPU units and MiB of the gateway's own task."
  value       = { cpu = tostring(local.gateway_size.cpu_units), memory = tostring(local.gateway_size.memory_mib) }
}

output "documents" {
  description = "IAM and other policy documents as JSON, by what they are for."
  value = {
    execution_policy   = jsonencode(local.execution_policy)
    launcher_policy    = jsonencode(local.launcher_policy)
    tasks_trust        = jsonencode(local.tasks_trust)
    bucket_policy      = jsonencode(local.bucket_policy)
    ci_push_trust      = jsonencode(local.ci_trust["push"])
    ci_plan_trust      = jsonencode(local.ci_trust["plan"])
    ci_push_policy     = jsonencode(local.ci_push_policy)
    ci_plan_policy     = jsonencode(local.ci_plan_policy)
    registry_lifecycle = jsonencode(local.registry_lifecycle)
  }
}

output "settings" {
  description = "Soulcaster's settings for this set-up, by variable; lines of its .env."
  value = merge({
    SOULCASTER_LAUNCHER            = "ecs"
    SOULCASTER_ECS_REGION          = var.region
    SOULCASTER_ECS_CLUSTER         = local.cluster
    SOULCASTER_ECS_TASK_DEFINITION = local.family
    SOULCASTER_ECS_SUBNETS         = join(",", var.subnet_ids)
    SOULCASTER_ECS_SECURITY_GROUPS = join(",", var.security_group_ids)
    SOULCASTER_ECS_PUBLIC_IP       = tostring(var.has_public_ip)
    SOULCASTER_ECS_BUCKET          = local.bucket
    SOULCASTER_ECS_PREFIX          = var.prefix
    SOULCASTER_ECS_SPOT            = tostring(var.is_spot)
    SOULCASTER_ECS_LOG_GROUP       = local.log_group
    SOULCASTER_ECS_GATEWAY_MODE    = var.gateway_mode
    SOULCASTER_AGENT_MODEL_URL     = var.model_url
    }, { for name, value in {
      SOULCASTER_ECS_GATEWAY_TASK_DEFINITION = local.gateway_family
      SOULCASTER_ECS_GATEWAY_SECURITY_GROUPS = join(",", var.gateway_security_group_ids)
  } : name => value if local.is_apart })
}
