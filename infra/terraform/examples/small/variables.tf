variable "region" {
  description = "AWS region of everything."
  type        = string
}

variable "github_repository" {
  description = "OWNER/NAME of your copy of Soulcaster."
  type        = string
}

variable "agent_image" {
  description = "The agent's image by digest; null until the first one has been pushed."
  type        = string
  default     = null
}

variable "mail" {
  description = "Address that budget and alarms are mailed to."
  type        = string
}
