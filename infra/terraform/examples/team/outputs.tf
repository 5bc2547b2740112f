output "soulcaster" {
  description = "All that the next steps of docs/deploy.md ask for."
  value       = module.soulcaster
}

output "env_file" {
  description = "Lines of Soulcaster's .env."
  value       = join("\n", [for name, value in module.soulcaster.settings : "${name}=${value}"])
}
