# What the agent's task is and who may do what, as documents: needs no provider, so `terraform test` checks all of it without
# an account. Every other module is handed these documents. The launcher (soulcaster/launchers) expects exactly this task.

terraform {
  required_version = ">= 1.9"
}

locals {
  is_apart       = var.gateway_mode == "task"
  family         = "${var.name}-agent"
  gateway_family = "${var.name}-gateway"
  cluster        = var.name
  log_group      = "/${var.name}/agent"
  execution_role = "${var.name}-agent-execution"
  bucket         = "${var.name}-jobs-${var.account_id}-${var.region}"
  repositories   = { agent = "${var.name}-agent", app = "${var.name}-app" }

  ecs               = "arn:${var.partition}:ecs:${var.region}:${var.account_id}"
  cluster_arn       = "${local.ecs}:cluster/${local.cluster}"
  execution_arn     = "arn:${var.partition}:iam::${var.account_id}:role/${local.execution_role}"
  log_group_arn     = "arn:${var.partition}:logs:${var.region}:${var.account_id}:log-group:${local.log_group}"
  bucket_arn        = "arn:${var.partition}:s3:::${local.bucket}"
  repository_arns   = { for key, name in local.repositories : key => "arn:${var.partition}:ecr:${var.region}:${var.account_id}:repository/${name}" }
  oidc_provider_arn = "arn:${var.partition}:iam::${var.account_id}:oidc-provider/token.actions.githubusercontent.com"
}
