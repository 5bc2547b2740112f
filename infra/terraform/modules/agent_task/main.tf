# Cluster, task definitions, log group and execution role. Tasks get no role: there is nothing to steal at the credential endpoint.

resource "aws_ecs_cluster" "this" {
  name = var.names.cluster

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

resource "aws_cloudwatch_log_group" "agent" {
  #checkov:skip=CKV_AWS_158:encrypted by AWS's own key; the agent has no secret that could get into its log
  #checkov:skip=CKV_AWS_338:thirty days, as long as job folders are kept; what a job was is kept in the store
  name              = var.names.log_group
  retention_in_days = var.log_days
}

resource "aws_iam_role" "execution" {
  name               = var.names.execution_role
  description        = "ECS itself, when it starts the agent: pull its image, write its log, read the model key"
  assume_role_policy = var.tasks_trust
}

resource "aws_iam_role_policy" "execution" {
  name   = "start-agent"
  role   = aws_iam_role.execution.id
  policy = var.execution_policy
}

resource "aws_ecs_task_definition" "agent" {
  count = var.has_image ? 1 : 0

  family                   = var.names.family
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.size.cpu
  memory                   = var.size.memory
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = var.container_definitions

  runtime_platform {
    cpu_architecture        = "X86_64"
    operating_system_family = "LINUX"
  }

  volume {
    name = "job"
  }

  depends_on = [aws_cloudwatch_log_group.agent, aws_iam_role_policy.execution]
}

resource "aws_ecs_task_definition" "gateway" {
  count = var.has_image && var.is_gateway_apart ? 1 : 0

  family                   = var.names.gateway_family
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.gateway_size.cpu
  memory                   = var.gateway_size.memory
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = var.gateway_container_definitions

  runtime_platform {
    cpu_architecture        = "X86_64"
    operating_system_family = "LINUX"
  }

  depends_on = [aws_cloudwatch_log_group.agent, aws_iam_role_policy.execution]
}

resource "aws_iam_policy" "launcher" {
  name        = "${var.names.family}-launcher"
  description = "The machine that runs Soulcaster: start, watch and stop the agent, and its job folders"
  policy      = var.launcher_policy
}
