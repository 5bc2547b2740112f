variable "name" {
  description = "First part of every name."
  type        = string
}

variable "cluster" {
  description = "Name of the cluster whose tasks are watched."
  type        = string
}

variable "cluster_arn" {
  description = "ARN of that cluster."
  type        = string
}

variable "mail" {
  description = "Address that budget and alarms are mailed to; AWS asks it for a yes first."
  type        = string

  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+$", var.mail))
    error_message = "Expected a mail address."
  }
}

variable "budget_usd" {
  description = "Monthly budget of the whole account; mails at 50, 80 and 100 %."
  type        = number
}

variable "longest_hours" {
  description = "Hours after which tasks without a break raise the alarm; a job of four steps and its tests takes about two."
  type        = number
  default     = 6

  validation {
    condition     = var.longest_hours >= 1 && var.longest_hours <= 24 && floor(var.longest_hours) == var.longest_hours
    error_message = "Expected 1 to 24 whole hours: alarms look back a day at most."
  }
}
