# A place on AWS where the agent runs, and if wanted the machine that runs Soulcaster. Thin: every part is a module, every name and
# policy comes from modules/agent_spec. Use it through examples/small or examples/team, which hold the provider and the state.

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

data "aws_partition" "current" {}

locals {
  secrets = merge(
    { model-key = "Key of the model that fixes ask; the gateway beside the agent alone reads it" },
    var.host == null ? {} : { app = "JSON of Soulcaster's own secrets by the names of their variables; its machine alone reads it" },
  )
}

module "agent_spec" {
  source = "./modules/agent_spec"

  name               = var.name
  partition          = data.aws_partition.current.partition
  region             = data.aws_region.current.region
  account_id         = data.aws_caller_identity.current.account_id
  agent_image        = var.agent_image
  model_secret_arn   = module.secrets.arns["model-key"]
  model_url          = var.model_url
  cpu_units          = var.cpu_units
  memory_mib         = var.memory_mib
  subnet_ids         = module.network.task_subnet_ids
  security_group_ids = [module.agent_task.security_group_id]

  gateway_security_group_ids = module.agent_task.gateway_security_group_ids

  gateway_mode            = var.gateway_mode
  has_public_ip           = !var.has_nat
  is_spot                 = var.is_spot
  github_repository       = var.github_repository
  github_branch           = var.github_branch
  github_plan_environment = var.github_plan_environment
}

module "network" {
  source = "./modules/network"

  name            = "${var.name}-agent"
  cidr            = var.cidr
  zone_letters    = var.zone_letters
  has_nat         = var.has_nat
  allowed_domains = var.allowed_domains
}

module "secrets" {
  source = "./modules/secrets"

  name    = var.name
  secrets = local.secrets
}

module "registry" {
  source = "./modules/registry"

  repositories     = module.agent_spec.names.repositories
  lifecycle_policy = module.agent_spec.documents.registry_lifecycle
}

module "job_store" {
  source = "./modules/job_store"

  bucket = module.agent_spec.names.bucket
  policy = module.agent_spec.documents.bucket_policy
}

module "agent_task" {
  source = "./modules/agent_task"

  vpc_id                = module.network.vpc_id
  names                 = module.agent_spec.names
  has_image             = var.agent_image != null
  subnet_ids            = module.network.task_subnet_ids
  container_definitions = module.agent_spec.container_definitions
  size                  = module.agent_spec.size

  is_gateway_apart              = var.gateway_mode == "task"
  gateway_container_definitions = module.agent_spec.gateway_container_definitions
  gateway_size                  = module.agent_spec.gateway_size

  tasks_trust      = module.agent_spec.documents.tasks_trust
  execution_policy = module.agent_spec.documents.execution_policy
  launcher_policy  = module.agent_spec.documents.launcher_policy
}

module "ci" {
  source = "./modules/ci"

  name             = var.name
  partition        = data.aws_partition.current.partition
  creates_provider = var.creates_github_provider
  push_trust       = module.agent_spec.documents.ci_push_trust
  push_policy      = module.agent_spec.documents.ci_push_policy
  plan_trust       = module.agent_spec.documents.ci_plan_trust
  plan_policy      = module.agent_spec.documents.ci_plan_policy
}

module "guard" {
  source = "./modules/guard"

  name        = var.name
  cluster     = module.agent_spec.names.cluster
  cluster_arn = module.agent_task.cluster_arn
  mail        = var.mail
  budget_usd  = var.budget_usd
}

# A network of its own: what the agent runs must not find a neighbour.
module "host_network" {
  source = "./modules/network"
  count  = var.host == null ? 0 : 1

  name         = "${var.name}-host"
  cidr         = var.host.cidr
  zone_letters = var.zone_letters
  has_nat      = false
}

module "host" {
  source = "./modules/host"
  count  = var.host == null ? 0 : 1

  name                = var.name
  partition           = data.aws_partition.current.partition
  subnet_id           = module.host_network[0].public_subnet_ids[0]
  ingress_cidrs       = var.host.ingress_cidrs
  instance_type       = var.host.instance_type
  data_gib            = var.host.data_gib
  launcher_policy_arn = module.agent_task.launcher_policy_arn
  secret_arns         = [module.secrets.arns["app"]]
  repository_arn      = module.registry.arns["app"]
}
