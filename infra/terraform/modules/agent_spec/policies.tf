# IAM documents. Statements name one resource each; "*" stands only where AWS knows no resource for the action.

locals {
  # Who starts the task (ECS itself): pull that one image, write that log group, read that one secret.
  execution_policy = {
    Version = "2012-10-17"
    Statement = [
      { Sid = "SignInToRegistry", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = "*" },
      {
        Sid      = "PullAgentImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = local.repository_arns["agent"]
      },
      {
        Sid      = "WriteLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${local.log_group_arn}:*"
      },
      { Sid = "ReadModelKey", Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = var.model_secret_arn },
    ]
  }

  # Who launches (the machine that runs Soulcaster): exactly the calls of soulcaster/launchers, a test compares.
  launcher_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RunAgent"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = [for family in concat([local.family], local.is_apart ? [local.gateway_family] : []) : "${local.ecs}:task-definition/${family}:*"]
        Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
      },
      {
        Sid      = "WatchAndStopAgent"
        Effect   = "Allow"
        Action   = ["ecs:DescribeTasks", "ecs:StopTask"]
        Resource = "${local.ecs}:task/${local.cluster}/*"
      },
      { Sid = "LookAtCluster", Effect = "Allow", Action = ["ecs:DescribeClusters"], Resource = local.cluster_arn },
      { Sid = "LookAtDefinition", Effect = "Allow", Action = ["ecs:DescribeTaskDefinition"], Resource = "*" },
      {
        Sid       = "HandOverExecutionRole"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = local.execution_arn
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
      {
        Sid      = "JobFolders"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = "${local.bucket_arn}/${var.prefix}/*"
      },
      { Sid = "ListJobFolders", Effect = "Allow", Action = ["s3:ListBucket"], Resource = local.bucket_arn },
      {
        Sid      = "ReadAgentLog"
        Effect   = "Allow"
        Action   = ["logs:DescribeLogStreams", "logs:GetLogEvents"]
        Resource = "${local.log_group_arn}:*"
      },
      # Whether it is there and has a value; never the value.
      { Sid = "LookForModelKey", Effect = "Allow", Action = ["secretsmanager:DescribeSecret"], Resource = var.model_secret_arn },
    ]
  }

  tasks_trust = {
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  }

  # Nobody reads or writes the bucket without TLS, whatever else allows them to.
  bucket_policy = {
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  }

  # GitHub Actions of one repository: images are pushed from one branch, plans are made in one environment. Nothing else fits.
  subjects = {
    push = "repo:${var.github_repository}:ref:refs/heads/${var.github_branch}"
    plan = "repo:${var.github_repository}:environment:${var.github_plan_environment}"
  }
  ci_trust = { for role, subject in local.subjects : role => {
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = local.oidc_provider_arn }
      Condition = { StringEquals = {
        "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
        "token.actions.githubusercontent.com:sub" = subject
      } }
    }]
  } }

  ci_push_policy = {
    Version = "2012-10-17"
    Statement = [
      { Sid = "SignInToRegistry", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = "*" },
      {
        Sid    = "PushImages"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
          "ecr:DescribeImageScanFindings", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage",
          "ecr:UploadLayerPart",
        ]
        Resource = values(local.repository_arns)
      },
    ]
  }

  # On top of AWS's ReadOnlyAccess, which would let a plan read what strangers and customers wrote.
  ci_plan_policy = {
    Version = "2012-10-17"
    Statement = [{
      Sid    = "NoContents"
      Effect = "Deny"
      Action = ["logs:FilterLogEvents", "logs:GetLogEvents", "logs:StartQuery", "s3:GetObject*", "secretsmanager:GetSecretValue"]
      Resource = [
        "${local.bucket_arn}/*", "${local.log_group_arn}:*", var.model_secret_arn,
        "arn:${var.partition}:secretsmanager:${var.region}:${var.account_id}:secret:${var.name}/*",
      ]
    }]
  }

  # Twenty images that a tag names, and what no tag names for a week.
  registry_lifecycle = {
    rules = [
      {
        rulePriority = 1
        description  = "untagged images go after 7 days"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 7 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "the newest ${var.images_kept} stay"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = var.images_kept }
        action       = { type = "expire" }
      },
    ]
  }
}
