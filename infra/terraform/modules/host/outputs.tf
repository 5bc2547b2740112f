output "address" {
  description = "Public address: point your DNS name there."
  value       = aws_eip.host.public_ip
}

output "instance_id" {
  description = "For `aws ssm start-session --target`."
  value       = aws_instance.host.id
}
