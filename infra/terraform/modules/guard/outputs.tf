output "topic_arn" {
  description = "Alarms go there; more subscribers may be added."
  value       = aws_sns_topic.alarms.arn
}
