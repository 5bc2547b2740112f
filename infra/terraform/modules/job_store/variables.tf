variable "bucket" {
  description = "Name of the bucket."
  type        = string
}

variable "policy" {
  description = "The bucket's policy as JSON."
  type        = string
}

variable "days_kept" {
  description = "Job folders go after so many days."
  type        = number
  default     = 30
}
