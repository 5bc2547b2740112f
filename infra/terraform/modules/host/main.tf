# The machine that runs Soulcaster itself by infra/compose: one instance, its data on a volume of its own, HTTP and HTTPS from
# where you allow, a shell through Session Manager alone. It may launch the agent and read the secrets that only flows need.

data "aws_ssm_parameter" "image" {
  name = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
}

data "aws_subnet" "this" {
  id = var.subnet_id
}

resource "aws_security_group" "host" {
  name_prefix = "${var.name}-host-"
  description = "Soulcaster's proxy: HTTP and HTTPS from where people and webhooks come"
  vpc_id      = data.aws_subnet.this.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  for_each = { for pair in setproduct(var.ingress_cidrs, ["80", "443"]) : join(" ", pair) => pair }

  security_group_id = aws_security_group.host.id
  description       = "the proxy; port 80 answers the certificate's challenge and redirects"
  ip_protocol       = "tcp"
  from_port         = tonumber(each.value[1])
  to_port           = tonumber(each.value[1])
  cidr_ipv4         = each.value[0]
}

resource "aws_vpc_security_group_egress_rule" "web" {
  for_each = toset(["80", "443"])

  security_group_id = aws_security_group.host.id
  description       = "packages, images, sources, the model"
  ip_protocol       = "tcp"
  from_port         = tonumber(each.value)
  to_port           = tonumber(each.value)
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_iam_role" "host" {
  name        = "${var.name}-host"
  description = "The machine that runs Soulcaster"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "launcher" {
  role       = aws_iam_role.host.name
  policy_arn = var.launcher_policy_arn
}

resource "aws_iam_role_policy_attachment" "session_manager" {
  role       = aws_iam_role.host.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_role_policy" "host" {
  name = "secrets-and-image"
  role = aws_iam_role.host.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "ReadOwnSecrets", Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = var.secret_arns },
      { Sid = "SignInToRegistry", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = "*" },
      {
        Sid      = "PullAppImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = var.repository_arn
      },
    ]
  })
}

resource "aws_iam_instance_profile" "host" {
  name = "${var.name}-host"
  role = aws_iam_role.host.name
}

resource "aws_instance" "host" {
  #checkov:skip=CKV_AWS_88:it is the proxy that people and webhooks reach; a load balancer in front of one machine would only cost more
  #checkov:skip=CKV_AWS_126:five-minute figures are enough, Soulcaster has its own at /metrics
  ami                         = data.aws_ssm_parameter.image.value
  instance_type               = var.instance_type
  subnet_id                   = var.subnet_id
  vpc_security_group_ids      = [aws_security_group.host.id]
  iam_instance_profile        = aws_iam_instance_profile.host.name
  associate_public_ip_address = true
  ebs_optimized               = true
  user_data                   = file("${path.module}/first_boot.sh")
  tags                        = { Name = "${var.name}-host" }

  # Containers are one hop further away than the machine, and some of them launch the agent.
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }

  root_block_device {
    encrypted   = true
    volume_size = 30
  }

  # A newer image of the system is a new machine: that is for a person to decide.
  lifecycle {
    ignore_changes = [ami, user_data]
  }
}

resource "aws_ebs_volume" "data" {
  #checkov:skip=CKV_AWS_189:encrypted by AWS's own key; who may attach it is said by the account's rights
  #checkov:skip=CKV2_AWS_9:docs/deploy.md backs it up by `soulcaster backup`, which is consistent; a snapshot is not
  availability_zone = data.aws_subnet.this.availability_zone
  size              = var.data_gib
  type              = "gp3"
  encrypted         = true
  tags              = { Name = "${var.name}-data" }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_volume_attachment" "data" {
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.data.id
  instance_id = aws_instance.host.id
}

resource "aws_eip" "host" {
  domain   = "vpc"
  instance = aws_instance.host.id
  tags     = { Name = "${var.name}-host" }
}
