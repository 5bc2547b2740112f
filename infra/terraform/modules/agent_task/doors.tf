# What tasks may reach. Beside the agent the gateway shares its network: both get HTTPS to anywhere. With the gateway in a task of
# its own the agent reaches that one port, S3, and the endpoints that Fargate itself needs to start it: no other address at all.

data "aws_region" "current" {}

data "aws_ec2_managed_prefix_list" "s3" {
  name = "com.amazonaws.${data.aws_region.current.region}.s3"
}

resource "aws_security_group" "agent" {
  #checkov:skip=CKV2_AWS_5:tasks are attached to it when they are launched, by SOULCASTER_ECS_SECURITY_GROUPS
  name_prefix = "${var.names.family}-"
  description = "Tasks of the agent: nothing comes in"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "agent_https" {
  count = var.is_gateway_apart ? 0 : 1

  security_group_id = aws_security_group.agent.id
  description       = "S3, the registry, the model, package hosts"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "agent_s3" {
  count = var.is_gateway_apart ? 1 : 0

  security_group_id = aws_security_group.agent.id
  description       = "its job folder, layers of its image"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  prefix_list_id    = data.aws_ec2_managed_prefix_list.s3.id
}

resource "aws_vpc_security_group_egress_rule" "agent_endpoints" {
  count = var.is_gateway_apart ? 1 : 0

  security_group_id            = aws_security_group.agent.id
  description                  = "registry and log, which Fargate reaches from inside the task's network"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.endpoints[0].id
}

resource "aws_vpc_security_group_egress_rule" "agent_gateway" {
  count = var.is_gateway_apart ? 1 : 0

  security_group_id            = aws_security_group.agent.id
  description                  = "the model, through the gateway"
  ip_protocol                  = "tcp"
  from_port                    = 8790
  to_port                      = 8790
  referenced_security_group_id = aws_security_group.gateway[0].id
}

resource "aws_security_group" "gateway" {
  #checkov:skip=CKV2_AWS_5:tasks are attached to it when they are launched, by SOULCASTER_ECS_GATEWAY_SECURITY_GROUPS
  count = var.is_gateway_apart ? 1 : 0

  name_prefix = "${var.names.gateway_family}-"
  description = "The model gateway: the agent comes in, HTTPS goes out"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "gateway_agent" {
  count = var.is_gateway_apart ? 1 : 0

  security_group_id            = aws_security_group.gateway[0].id
  description                  = "tasks of the agent"
  ip_protocol                  = "tcp"
  from_port                    = 8790
  to_port                      = 8790
  referenced_security_group_id = aws_security_group.agent.id
}

resource "aws_vpc_security_group_egress_rule" "gateway_https" {
  count = var.is_gateway_apart ? 1 : 0

  security_group_id = aws_security_group.gateway[0].id
  description       = "the model, the model key, the registry, the log"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

# Addresses inside the network for what Fargate needs to start a task; S3 has its own (modules/network).
resource "aws_security_group" "endpoints" {
  count = var.is_gateway_apart ? 1 : 0

  name_prefix = "${var.names.family}-endpoints-"
  description = "Endpoints of AWS inside this network: tasks come in, nothing goes out"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  for_each = var.is_gateway_apart ? { agent = aws_security_group.agent.id, gateway = aws_security_group.gateway[0].id } : {}

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "tasks of the ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = each.value
}

resource "aws_vpc_endpoint" "start" {
  for_each = var.is_gateway_apart ? toset(["ecr.api", "ecr.dkr", "logs", "secretsmanager"]) : toset([])

  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${data.aws_region.current.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = var.subnet_ids
  security_group_ids  = [aws_security_group.endpoints[0].id]
  tags                = { Name = "${var.names.family}-${each.key}" }
}
