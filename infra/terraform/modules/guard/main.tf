# What tells people: a budget by mail, alarms on tasks that never end or cannot start, and every end of a task with its reason
# (ECS itself forgets it after an hour).

data "aws_caller_identity" "current" {}

resource "aws_sns_topic" "alarms" {
  #checkov:skip=CKV_AWS_26:CloudWatch cannot publish to a topic under AWS's own key; the messages name a task, no content
  name = "${var.name}-alarms"
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "mail" {
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.mail
}

# The whole account counts: a budget by tag stays at nothing until somebody activates the tag for billing.
resource "aws_budgets_budget" "account" {
  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  dynamic "notification" {
    for_each = [50, 80, 100]

    content {
      notification_type          = "ACTUAL"
      comparison_operator        = "GREATER_THAN"
      threshold                  = notification.value
      threshold_type             = "PERCENTAGE"
      subscriber_email_addresses = [var.mail]
    }
  }
}

resource "aws_cloudwatch_log_group" "ends" {
  #checkov:skip=CKV_AWS_158:encrypted by AWS's own key; it holds ECS's words on tasks, no content
  #checkov:skip=CKV_AWS_338:thirty days are enough to look into a job
  name              = "/aws/events/${var.name}-tasks"
  retention_in_days = 30
}

resource "aws_cloudwatch_log_resource_policy" "events" {
  policy_name = "${var.name}-task-events"
  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "EventsWriteTaskEnds"
      Effect    = "Allow"
      Principal = { Service = ["events.amazonaws.com", "delivery.logs.amazonaws.com"] }
      Action    = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource  = "${aws_cloudwatch_log_group.ends.arn}:*"
    }]
  })
}

resource "aws_cloudwatch_event_rule" "ends" {
  name        = "${var.name}-task-ends"
  description = "Every task of the agent that stopped, with stop code and reason"
  event_pattern = jsonencode({
    source        = ["aws.ecs"]
    "detail-type" = ["ECS Task State Change"]
    detail        = { clusterArn = [var.cluster_arn], lastStatus = ["STOPPED"] }
  })
}

resource "aws_cloudwatch_event_target" "ends" {
  rule       = aws_cloudwatch_event_rule.ends.name
  arn        = aws_cloudwatch_log_group.ends.arn
  depends_on = [aws_cloudwatch_log_resource_policy.events]
}

resource "aws_cloudwatch_log_metric_filter" "not_started" {
  name           = "${var.name}-not-started"
  log_group_name = aws_cloudwatch_log_group.ends.name
  pattern        = "{ $.detail.stopCode = \"TaskFailedToStart\" }"

  metric_transformation {
    name      = "TaskFailedToStart"
    namespace = var.name
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "not_started" {
  alarm_name          = "${var.name}-task-not-started"
  alarm_description   = "A task could not start: image, secret or quota; the log group ${aws_cloudwatch_log_group.ends.name} has the reason."
  namespace           = var.name
  metric_name         = "TaskFailedToStart"
  statistic           = "Sum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
}

# ECS counts tasks, not their age: some task runs in every quarter of an hour of so many hours. One that hangs does, and so does
# a day on which fixes never rest.
resource "aws_cloudwatch_metric_alarm" "never_ends" {
  alarm_name          = "${var.name}-task-never-ends"
  alarm_description   = "Tasks ran without a break for ${var.longest_hours} hours; `soulcaster jobs` tells which job, `soulcaster cancel` ends it."
  namespace           = "ECS/ContainerInsights"
  metric_name         = "TaskCount"
  dimensions          = { ClusterName = var.cluster }
  statistic           = "Minimum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 900
  evaluation_periods  = var.longest_hours * 4
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
}
