output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "task_subnet_ids" {
  description = "Subnets of the agent's tasks."
  value       = [for subnet in local.task_subnets : subnet.id]
}

output "public_subnet_ids" {
  description = "Subnets with a way to and from the internet."
  value       = [for subnet in aws_subnet.public : subnet.id]
}
